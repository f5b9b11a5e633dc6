"""Kill it, fill the disk, flip a byte, start it twice: a study that is attacked, and what it said.

    python tests/harness.py OUT                    everything, on a small miniature (hours on two cores; stop it when you like)
    python tests/harness.py OUT --only flips --n 300

Writes OUT/attacked.json and goes on where it was stopped. `tests/test_study.py` runs the same functions, fewer times.
Commands run as processes of their own, forked from one that has imported the libraries: a second saved each.
"""
import argparse
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
LIBRARIES = ["numpy", "pandas", "torch", "diffusers", "transformers", "av", "semvideo.cli"]


# commands

def child(words, out, err, limit_kb=None, env=None):
    "What the forked process does: `semvideo words`, its output in two files."
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update({**ENV, **(env or {})})
    sys.path[:0] = (env or {}).get("PYTHONPATH", "").split(os.pathsep)
    if limit_kb:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_kb*1024, resource.RLIM_INFINITY))
    from semvideo.cli import main
    sys.exit(main(words))


class Command:
    "A running `semvideo` command: `poll`, `kill`, `communicate` as of a `Popen`."
    context = None

    def __init__(self, *words, limit_kb=None, env=None):
        if Command.context is None:
            os.environ.update(ENV)
            Command.context = multiprocessing.get_context("forkserver")
            Command.context.set_forkserver_preload(LIBRARIES)
        self.folder = Path(tempfile.mkdtemp())
        files = [str(self.folder/"out"), str(self.folder/"err")]
        self.process = Command.context.Process(target=child, args=([str(w) for w in words], *files, limit_kb, env))
        self.process.start()

    @property
    def returncode(self): return self.process.exitcode

    def poll(self): return self.process.exitcode

    def kill(self): self.process.kill()

    def communicate(self):
        self.process.join()
        said = [p.read_text() if p.exists() else "" for p in (self.folder/"out", self.folder/"err")]
        shutil.rmtree(self.folder)
        return said


def run(*words):
    "-> exit status, output, errors"
    command = Command(*words)
    out, err = command.communicate()
    return command.returncode, out, err


def words(verb, study, tree, seed=0):
    "The command line of a verb on a study."
    table = tree/"table.csv" # of a short study
    own = ["--root", table, "--dataset", "table", "--method", "fdr", "--blocks", "4"]
    more = dict(
        prepare=own if table.is_file() else ["--root", tree, "--subject", "1"],
        mine=["--backend", "script", "--captions", tree/"truth/scripts.jsonl"],
        train=["--seed", seed], decode=["--seed", seed], render=["--seed", seed],
        evaluate=["--seed", seed, "--ceilings", "4"])
    return [verb, "--study", study, *more.get(verb, []), "--quiet"]


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


def shorten(tree, out, seconds=56):
    "The first seconds of each film of a miniature as a data set of its own: a table of runs, and scripts under its names. -> tree"
    import pandas as pd
    from semvideo.video import read_clip, write_video
    (out/"truth").mkdir(parents=True)
    rows, scripts = [], []
    for film in sorted(tree.rglob("*.mp4")):
        split = "test" if film.stem.startswith("test") else "train"
        write_video(out/film.name, read_clip(film, 0, seconds, int(seconds*30)), 30)
        for run_file in sorted(tree.rglob(f"{film.stem}_*_Atlas.dtseries.nii")):
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


def settle(study, tree, verbs):
    "Run each verb in order, anew where it stands under other settings or on something that changed. -> errors"
    wrong = []
    for verb in verbs:
        status, _, err = run(*words(verb, study, tree))
        if status == 2: status, _, err = run(*words(verb, study, tree), "--force")
        if status: wrong.append(f"{verb}: {err[-300:]}")
    return wrong


def pairs(study, tree, one, two, rounds=1, seeds=(0, 0)):
    "Two commands at once: each ends well or with one clear line, nothing is damaged, and the chain run to its end gives the bytes of a study nobody disturbed. -> dict"
    found = dict(verb=one, other=two, seeds=list(seeds), rounds=rounds, refused=0, bad=[], differ=[])
    want = state(study)
    for i in range(rounds):
        copy = study.parent/f"pair-{one}-{two}-{i}"
        shutil.copytree(study, copy)
        jobs = [Command(*words(verb, copy, tree, seed), "--force") for verb, seed in zip((one, two), seeds)]
        for job in jobs:
            _, err = job.communicate()
            found["refused"] += job.returncode == 2
            unclear = "Traceback" in err or len(err.strip().splitlines()) > 6
            if job.returncode not in (0, 2) or unclear: found["bad"].append(err[-400:])
        _, out, _ = run("status", "--study", copy, "--verify", "--json")
        if any(r["state"] == "damaged" for r in json.loads(out)): found["bad"].append(out[-400:])
        found["bad"] += settle(copy, tree, verbs_of(study))
        run("clean", "--study", copy)
        found["differ"] += differing(want, state(copy))
        shutil.rmtree(copy)
    return found


def combinations():
    "Every two verbs, the same one included, and each seeded verb beside itself with another seed."
    same = [(one, two, (0, 0)) for one, two in itertools.combinations_with_replacement(VERBS, 2)]
    return same + [(verb, verb, (0, 1)) for verb in SEEDED]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("--only", choices=["flips", "kills", "disk", "pairs"])
    p.add_argument("--n", type=int, default=None)
    p.add_argument("--verbs", nargs="+", default=VERBS)
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

    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    keep(commit=commit, date=str(datetime.date.today()), machine=machine)
    if a.only in (None, "flips"): keep(flips=flips(study, a.n or 300))
    if a.only in (None, "kills"):
        for verb in ("prepare", *a.verbs):
            if verb in found.get("kills", {}): continue
            keep(kills={**found.get("kills", {}), verb: kills(study, tree, verb, a.n or 10)})
    if a.only in (None, "disk"):
        for verb in a.verbs:
            if verb in found.get("disk", {}): continue
            keep(disk={**found.get("disk", {}), verb: disk(study, tree, verb)})
    if a.only in (None, "pairs"):
        study, tree = make_short(a.out, tree)
        for n in range(a.n or 20): # round by round: stopped early, every pair has had the same number
            for one, two, seeds in combinations():
                key = " + ".join((one, two)) + (" other seed" if seeds[1] else "")
                known = found.get("pairs", {}).get(key, dict(rounds=0, refused=0, bad=[], differ=[]))
                if known["rounds"] > n: continue
                new = pairs(study, tree, one, two, 1, seeds)
                keep(pairs={**found.get("pairs", {}), key: {k: known[k] + new[k] for k in known}})
    print(file)


if __name__ == "__main__": sys.exit(main())
