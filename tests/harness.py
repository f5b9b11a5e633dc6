"""Kill it, fill the disk, flip a byte, start it twice: a study that is attacked, and what it said.

    python tests/harness.py OUT                    everything, on a small miniature (hours on two cores; stop it when you like)
    python tests/harness.py OUT --only flips --n 300

Writes OUT/attacked.json and goes on where it was stopped. `tests/test_harness.py` runs the same functions, fewer times.
Commands run as processes of their own, forked from one that has imported what they use: seconds saved each.
Two commands at once are started together, or so that they would end together, or anywhere in each other's time.
"""
import argparse
import contextlib
import datetime
import itertools
import json
import multiprocessing
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENV = dict(os.environ, SEMVIDEO_QUIET="1", HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
VERBS = ("mine", "targets", "train", "decode", "render", "evaluate", "explain", "report")
SEEDED = ("train", "decode", "render", "evaluate")


# commands

def no_locks():
    "A study without locks: what the harness must notice."
    from semvideo import anew, locks, opening
    locks._lock_or_refuse = lambda path, key: None
    locks.alone = anew.alone = opening.alone = lambda path, wait_s=600: contextlib.nullcontext()


def nothing_holds():
    "Without locks, and without a second look, at the end, at what was read in the beginning."
    from semvideo import opening
    no_locks()
    opening._check_sources_held = opening._check_still_ours = lambda *args: None


PLANTS = dict(no_locks=no_locks, nothing_holds=nothing_holds)


def child(words, folder, limit_kb=None, env=None, plant=None):
    "What the forked process does: `semvideo words`, its output, its times and its processor seconds in files."
    began, folder = time.time(), Path(folder)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder/name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update({**ENV, **(env or {})})
    sys.path[:0] = (env or {}).get("PYTHONPATH", "").split(os.pathsep)
    if limit_kb:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_kb*1024, resource.RLIM_INFINITY))
    if plant: PLANTS[plant]()
    from semvideo.cli import main
    try: status = main(words)
    finally: (folder/"times").write_text(json.dumps([began, time.time(), time.process_time()]))
    sys.exit(status)


class Command:
    """A running `semvideo` command: `poll`, `kill`, `communicate` as of a `Popen`; afterwards `began`, `ended`, and `cpu`,
    the processor seconds it took, unless it was killed."""
    context = None

    def __init__(self, *words, limit_kb=None, env=None, plant=None):
        if Command.context is None:
            os.environ.update(ENV, PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
            Command.context = multiprocessing.get_context("forkserver")
            Command.context.set_forkserver_preload(["warm"])
        self.folder = Path(tempfile.mkdtemp())
        words = [str(w) for w in words]
        self.process = Command.context.Process(target=child, args=(words, str(self.folder), limit_kb, env, plant))
        self.process.start()

    @property
    def returncode(self): return self.process.exitcode

    def poll(self): return self.process.exitcode

    def kill(self): self.process.kill()

    def communicate(self):
        self.process.join()
        said = [p.read_text() if p.exists() else "" for p in (self.folder/"out", self.folder/"err")]
        times = self.folder/"times"
        self.began, self.ended, self.cpu = json.loads(times.read_text()) if times.exists() else (None, None, 0)
        shutil.rmtree(self.folder)
        return said


def run(*words):
    "-> exit status, output, errors"
    command = Command(*words)
    out, err = command.communicate()
    return command.returncode, out, err


def words(verb, study, tree, seed=0, shard=None):
    "The command line of a verb on a study."
    own = (tree/"table.csv").is_file() # a short study: few voxels, small pictures, little training
    table = ["--root", tree/"table.csv", "--dataset", "table", "--method", "topk", "--k", "400", "--blocks", "4"]
    more = dict(
        prepare=[*table, "--frames", "4", "--size", "64"] if own else ["--root", tree, "--subject", "1"],
        mine=["--backend", "script", "--captions", tree/"truth/scripts.jsonl"],
        train=["--seed", seed, *(["--recipe", tree/"recipe.json"] if own else [])],
        decode=["--seed", seed],
        render=["--seed", seed, *(["--mode", "fast"] if own else [])],
        evaluate=["--seed", seed, "--ceilings", "1" if own else "4"])
    return [verb, "--study", study, *more.get(verb, []), *(["--shard", shard] if shard else []), "--quiet"]


# studies

def complete(study, tree, verbs):
    "Prepare a study and run these verbs on it."
    for verb in ("prepare", *verbs):
        status, _, err = run(*words(verb, study, tree))
        assert status == 0, (verb, err)


def make(out, verbs=VERBS, n_train=2):
    "A miniature of some training segments and a study of it, these stages done. -> (study, tree)"
    from semvideo.simulate import make_miniature
    tree = make_miniature(out/"miniature", n_subjects=1, seed=3, n_train=n_train, test_repeats=2)
    study = out/"study"
    complete(study, tree, verbs)
    return Path(study), Path(tree)


def short_recipe():
    "The miniature's training with small networks and few epochs."
    from semvideo.train import RECIPES
    r = RECIPES["miniature"].to_dict()
    r["sad"].update(hidden=32, mlp=(32, 32, 32), layers=1, dim_head=8, steps=2)
    r["mad"].update(hidden=32, mlp=(32, 32, 32), embed=16, features=16, channels=(8, 8, 16), groups=4, head_dim=8, motion_filter=4)
    for part in ("sad_pretrain", "sad_tune", "mad_pretrain", "mad_tune"):
        r[part].update(epochs=2 if part.endswith("pretrain") else 1, save_every=1)
    return dict(r, name="short")


def shorten(tree, out, train_s=24, test_s=44):
    """The first seconds of each film of a miniature, as its first subject saw them, as a data set of its own: a table of runs,
    scripts under its names, and a recipe. -> tree"""
    import pandas as pd
    from semvideo.video import read_clip, write_video
    (out/"truth").mkdir(parents=True)
    rows, scripts = [], []
    for film in sorted(tree.rglob("*.mp4")):
        split, seconds = ("test", test_s) if film.stem.startswith("test") else ("train", train_s)
        write_video(out/film.name, read_clip(film, 0, seconds, int(seconds*30)), 30)
        for run_file in sorted((tree/"subject1").rglob(f"{film.stem}_*_Atlas.dtseries.nii")):
            repeat = int(run_file.name.split("_")[1])
            copy = shutil.copyfile(run_file, out/run_file.name)
            rows.append(dict(movie=film.name, split=split, subject=1, repeat=repeat, run=copy.name, onset_s=0, tr_s=2))
        for line in (tree/"truth/scripts.jsonl").read_text().splitlines():
            script = json.loads(line)
            segment, number = script["clip_id"].split("_")
            if segment == film.stem and int(number) < seconds//2:
                scripts.append(dict(script, clip_id=f"{split}-{segment}_{number}"))
    pd.DataFrame(rows).to_csv(out/"table.csv", index=False)
    (out/"truth/scripts.jsonl").write_text("".join(json.dumps(s) + "\n" for s in scripts))
    (out/"recipe.json").write_text(json.dumps(short_recipe(), indent=1))
    return out


def make_short(out, tree):
    "A study of minutes, not hours, for two commands at once, all stages done. -> (study, tree)"
    study, short = out/"short/study", out/"short/tree"
    if not (study/"report.html").is_file():
        shutil.rmtree(out/"short", ignore_errors=True)
        shorten(tree, short)
        complete(study, short, VERBS)
    return study, short


def files_of(study):
    "What a study holds: all but locks, caches and trash."
    return sorted(p for p in study.rglob("*") if p.is_file() and p.suffix != ".lock" and "trash" not in p.parts)


def state(study):
    "Bytes of what the stages made, and their records; the log grows with each attempt."
    return {p.relative_to(study).as_posix(): p.read_bytes() for p in files_of(study) if p.name != "log.jsonl"}


def differing(want, got):
    "Names of files that are not the same in both states."
    return sorted(k for k in want.keys() | got.keys() if want.get(k) != got.get(k))


def fresh(study, verb, name):
    "A copy of the study in which this verb has not begun; no folder at all before `prepare`."
    from semvideo.core import Study
    copy = study.parent/name
    if verb == "prepare": return copy
    shutil.copytree(study, copy)
    for stage, record in list(Study(copy).stages().items()):
        if stage.split("/")[0] != verb or stage.endswith("-ridge"): continue
        Study(copy).discard([copy/stage, copy/"stages"/stage/"stage.json", *(copy/f for f in record["files"])], "harness")
    run("clean", "--study", copy)
    return copy


def undisturbed(study, tree, verb):
    "State of a study whose verb nobody disturbed."
    if verb != "prepare": return state(study)
    copy = study.parent/"undisturbed"
    if not copy.exists(): assert run(*words(verb, copy, tree))[0] == 0
    return state(copy)


# attacks

def flips(study, n=300, seed=0, hide=True): # hide: put the modification time back
    "One bit turned over in a random file, n times: how often `status --verify` notices. -> dict"
    from semvideo.cli import study_status
    from semvideo.core import SemvideoError
    rng, missed = random.Random(seed), []
    in_order = lambda: all(r["state"] in ("done", "not begun") for r in study_status(study, verify=True))
    for _ in range(n):
        file = rng.choice([p for p in files_of(study) if p.stat().st_size])
        old, times = file.read_bytes(), file.stat()
        new, at = bytearray(old), rng.randrange(len(old))
        new[at] ^= 1 << rng.randrange(8)
        file.write_bytes(new)
        if hide: os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        try: noticed = not in_order()
        except SemvideoError: noticed = True
        if not noticed: missed.append(f"{file.relative_to(study)} at {at}")
        file.write_bytes(old)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert in_order()
    return dict(flips=n, missed=missed)


def kills(study, tree, verb, n=10, seed=0):
    "Kill a verb at random moments until n kills met it alive; whenever it ends, are the bytes those of a run that nobody killed? -> dict"
    ended = []
    rng, want = random.Random(f"{seed} {verb}"), undisturbed(study, tree, verb)
    copy = fresh(study, verb, f"timed-{verb}")
    began = time.time()
    status, _, err = run(*words(verb, copy, tree))
    seconds = time.time() - began
    assert status == 0, err
    shutil.rmtree(copy)

    copy, hit, tries = fresh(study, verb, f"killed-{verb}"), 0, 0
    while hit < n and tries < 10*n:
        tries += 1
        command = Command(*words(verb, copy, tree))
        time.sleep(rng.uniform(.02, .95)*seconds)
        alive = command.poll() is None
        hit += alive
        command.kill()
        command.communicate()
        if alive: continue
        run("clean", "--study", copy)
        ended.append(differing(want, state(copy))) # it came to its end: killed again from the beginning
        shutil.rmtree(copy)
        copy = fresh(study, verb, f"killed-{verb}")
    status, _, err = run(*words(verb, copy, tree))
    run("clean", "--study", copy)
    got = state(copy)
    shutil.rmtree(copy)
    ended.append(differing(want, got))
    return dict(verb=verb, kills=hit, tries=tries, ended=len(ended), seconds=round(seconds, 1), rc=status, says=err[-300:],
                differ=sorted(set(itertools.chain(*ended))), left=[k for k in got if k.endswith(".part")])


def disk(study, tree, verb, kb=40):
    "No file may grow beyond some kB, as on a disk that is full: one clear line; with room again, the bytes of an undisturbed run. -> dict"
    want, copy = state(study), fresh(study, verb, f"full-{verb}")
    command = Command(*words(verb, copy, tree), limit_kb=kb)
    _, err = command.communicate()
    parts = len(list(copy.rglob("*.part")))
    again, _, _ = run(*words(verb, copy, tree))
    got = state(copy)
    shutil.rmtree(copy)
    clear = command.returncode == 2 and "Traceback" not in err and len(err.strip().splitlines()) <= 6
    return dict(verb=verb, rc=command.returncode, says=err.strip()[-400:], clear=clear, parts=parts, rc_again=again,
                differ=differing(want, got))


def verbs_of(study):
    "Verbs whose stages a study holds, in order."
    from semvideo.core import Study
    made = {key.split("/")[0] for key in Study(study).stages()}
    return [verb for verb in VERBS if verb in made]


def rows_of(study, verify=False):
    "What `status` says: {stage: its row}."
    from semvideo.cli import study_status
    return {r["stage"]: r for r in study_status(study, verify)}


def settings_of(study):
    "{stage: its settings}, the seed among them."
    from semvideo.core import Study
    return {k: r["config"] for k, r in Study(study).stages().items()}


class Wanted:
    "States of a study nobody disturbed: as it is, and with each seeded verb and what follows made with seed 1."

    def __init__(self, study, tree):
        self.study, self.tree, self.made, self.seconds = study, tree, {None: state(study)}, {}
        self.settings = settings_of(study)
        copy = study.parent/"timed"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(study, copy)
        for verb in verbs_of(study): self.ran(verb, copy, "--force")
        assert not differing(self.made[None], state_after_clean(copy)), "the same commands gave other bytes"
        shutil.rmtree(copy)

    def ran(self, verb, study, *more, seed=0):
        "Run a verb that must end well, and keep how long it took."
        command = Command(*words(verb, study, self.tree, seed), *more)
        _, err = command.communicate()
        assert command.returncode == 0, (verb, err)
        self.seconds[verb] = command.ended - command.began

    def __getitem__(self, verb): # whose seed is 1, or None
        if verb not in self.made:
            copy, verbs = self.study.parent/f"seed-1-{verb}", verbs_of(self.study)
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.study, copy)
            for v in verbs[verbs.index(verb):]: self.ran(v, copy, "--force", seed=int(v == verb))
            self.made[verb] = state_after_clean(copy)
            shutil.rmtree(copy)
        return self.made[verb]


def state_after_clean(study):
    "State of a study once its trash and what was left half-written is gone."
    from semvideo.core import Study
    Study(study).clean()
    return state(study)


def settle(study, wanted):
    """Run each verb that `status` does not call done, or that stands under other settings, until all is done.
    -> (errors, processor seconds)"""
    wrong, cpu = [], 0
    for verb in verbs_of(wanted.study):
        now = settings_of(study)
        as_wanted = all(now.get(k) == c for k, c in wanted.settings.items() if k.split("/")[0] == verb)
        if as_wanted and all(r["state"] == "done" for k, r in rows_of(study).items() if k.split("/")[0] == verb): continue
        for more in ((), ("--force",)):
            command = Command(*words(verb, study, wanted.tree), *more)
            _, err = command.communicate()
            cpu += command.cpu
            if command.returncode != 2: break # 2: it stands under other settings, or is stale
        if command.returncode: wrong.append(f"{verb}: {err[-300:]}")
    return wrong, cpu


def start(kind, rng, seconds): # seconds: how long the two take alone
    "How many seconds the second command starts after the first (before it, if negative)."
    one, two = seconds
    together = rng.uniform(-.05, .05)
    if kind == 0: return together
    if kind == 1: return one - two + together # they would end together
    return rng.uniform(-.95*two, .95*one)


def is_data(name):
    "Is it what a stage gives, and not a book it keeps? Those say in how many parts the work was done, and pages print them."
    return not name.startswith(("stages/", "mine/store/")) and name not in ("report.html", "report-brain.html")


def both(lines, offset, plant=None):
    "Start two command lines, the second so many seconds after the first. -> two Commands"
    jobs = {}
    for which in (0, 1) if offset >= 0 else (1, 0):
        jobs[which] = Command(*lines[which], "--force", plant=plant)
        if len(jobs) == 1: time.sleep(abs(offset))
    return jobs[0], jobs[1]


def believed(study, wanted, seeded, data_only=False):
    """What `status` calls done though its bytes are not what undisturbed work gives: of seed 1 for stages of the verb `seeded`
    that stand under it, and for what follows if all of them do; of shards, only what they give. -> list"""
    from semvideo.core import Study
    rows, got, now, wrong = rows_of(study, verify=True), state(study), settings_of(study), []
    other = {k for k, c in now.items() if c != wanted.settings.get(k)}
    strange = [k for k in other if k.split("/")[0] != seeded]
    theirs = [k for k in wanted.settings if k.split("/")[0] == seeded]
    mixed = bool(other) and other != set(theirs)
    wrong += [f"other settings: {k}" for k in strange]
    for key, record in Study(study).stages().items():
        row = rows[key]
        if row["state"] == "damaged": wrong.append(f"damaged: {key} {row['why']}")
        if row["state"] != "done": continue
        follows = seeded and key.split("/")[0] in VERBS[VERBS.index(seeded) + 1:]
        if follows and mixed: wrong.append(f"called done: {key}, computed from two seeds")
        want = wanted[seeded if key in other or follows and other else None]
        for f in (*record["files"], f"stages/{key}/stage.json"):
            if got.get(f) != want.get(f) and (is_data(f) or not data_only): wrong.append(f"called done: {key}, {f}")
    return wrong


def pairs(study, tree, one, two, rounds=1, seeds=(0, 0), shards=(None, None), wanted=None, first=0, plant=None):
    """Two commands at once: each ends well or with one clear line, nothing is damaged, what is called done has the bytes of a
    study nobody disturbed, and so has the chain run to its end. -> dict"""
    wanted = wanted or Wanted(study, tree)
    found = dict(rounds=rounds, refused=0, met=0, cpu_s=0, bad=[], differ=[], starts=[])
    seeded = next((v for v, s in zip((one, two), seeds) if s), None)
    for n in range(first, first + rounds):
        copy = study.parent/f"pair-{one}-{two}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(study, copy)
        offset = start(n % 4, random.Random(f"{one} {two} {seeds} {shards} {n}"), [wanted.seconds[v] for v in (one, two)])
        jobs = both([words(*w) for w in zip((one, two), (copy, copy), (tree, tree), seeds, shards)], offset, plant)
        for verb, job in zip((one, two), jobs):
            _, err = job.communicate()
            found["refused"] += job.returncode == 2
            found["cpu_s"] += job.cpu
            unclear = "Traceback" in err or len(err.strip().splitlines()) > 6
            if job.returncode not in (0, 2) or unclear: found["bad"].append(err[-400:])
            if job.returncode == 0: wanted.seconds[verb] = job.ended - job.began
        found["met"] += jobs[0].began < jobs[1].ended and jobs[1].began < jobs[0].ended
        found["starts"].append(round(jobs[1].began - jobs[0].began, 2))
        found["bad"] += believed(copy, wanted, seeded, any(shards))[:9]
        wrong, cpu = settle(copy, wanted)
        found["bad"] += wrong
        found["cpu_s"] += cpu
        differ = differing(wanted[None], state_after_clean(copy))
        found["differ"] += [k for k in differ if not any(shards) or is_data(k)][:9]
        found["bad"] += [f"not done: {k}" for k, r in rows_of(copy, verify=True).items() if r["state"] not in ("done", "not begun")]
        shutil.rmtree(copy)
    found["cpu_s"] = round(found["cpu_s"], 1)
    return found


def combinations():
    "Every two verbs, the same one included, and each seeded verb beside itself with another seed: {name: arguments of `pairs`}."
    same = {f"{one} + {two}": dict(one=one, two=two) for one, two in itertools.combinations_with_replacement(VERBS, 2)}
    return same | {f"{v} + {v} other seed": dict(one=v, two=v, seeds=(0, 1)) for v in SEEDED}


def harder():
    """A verb started anew with another seed beside each that is computed from it, and two shards at once: {name: arguments
    of `pairs`}."""
    out = {}
    for one in SEEDED:
        for two in VERBS[VERBS.index(one) + 1:]:
            if two == "explain" and one != "train": continue # it reads the decoders, no more
            out[f"{one} of another seed + {two}"] = dict(one=one, two=two, seeds=(1, 0))
    for v in ("mine", "render"): out[f"{v} 1/2 + {v} 2/2"] = dict(one=v, two=v, shards=("1/2", "2/2"))
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("--only", choices=["flips", "kills", "disk", "pairs"])
    p.add_argument("--n", type=int, default=None)
    p.add_argument("--verbs", nargs="+", default=VERBS)
    p.add_argument("--harder", action="store_true", help="pairs: another seed upstream, and shards")
    p.add_argument("--plant", choices=PLANTS, help="pairs: break semvideo in this way first; nothing is kept")
    p.add_argument("--until", default=None, metavar="HH:MM", help="pairs: begin no round after this time")
    a = p.parse_args()
    a.out = a.out.resolve()
    a.out.mkdir(parents=True, exist_ok=True)
    ready = (a.out/"study/report.html").is_file()
    study, tree = (a.out/"study", a.out/"miniature") if ready else make(a.out)
    file = a.out/"attacked.json"
    found = json.loads(file.read_text()) if file.is_file() else {}

    def keep(**kw):
        found.update(kw)
        file.write_text(json.dumps(found, indent=1).replace(f"{a.out}/", "") + "\n")

    def begins(part):
        "Keep what this part of the results was made with."
        git = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        now = dict(commit=commit, date=str(datetime.date.today()), machine=machine)
        keep(made={**found.get("made", {}), part: now})

    if a.only in (None, "flips"):
        begins("flips")
        keep(flips=flips(study, a.n or 300))
    if a.only in (None, "kills"):
        begins("kills")
        for verb in ("prepare", *a.verbs):
            if verb in found.get("kills", {}): continue
            keep(kills={**found.get("kills", {}), verb: kills(study, tree, verb, a.n or 10)})
    if a.only in (None, "disk"):
        begins("disk")
        for verb in a.verbs:
            if verb in found.get("disk", {}): continue
            keep(disk={**found.get("disk", {}), verb: disk(study, tree, verb)})
    if a.only in (None, "pairs"):
        study, tree = make_short(a.out, tree)
        wanted = Wanted(study, tree)
        begins("pairs")
        for n in range(a.n or 20): # round by round: stopped early, every pair has had the same number
            for key, what in (harder() if a.harder else combinations()).items():
                if a.until and time.strftime("%H:%M") >= a.until: return print(file)
                known = found.get("pairs", {}).get(key)
                if known and known["rounds"] > n: continue
                new = pairs(study, tree, **what, first=n, wanted=wanted, plant=a.plant)
                if a.plant or new["bad"] or new["differ"]: print(n, key, json.dumps(new), flush=True)
                if known: new = {k: known[k] + new[k] for k in new}
                new["cpu_s"] = round(new["cpu_s"], 1)
                if not a.plant: keep(pairs={**found.get("pairs", {}), key: new})
    print(file)


if __name__ == "__main__": sys.exit(main())
