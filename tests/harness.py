"""Kill it, fill the disk, flip a byte, start it twice: a study that is attacked, and what it said.

    python tests/harness.py OUT                    everything, on a small miniature (about half an hour on two cores)
    python tests/harness.py OUT --only flips --n 300

Writes OUT/attacked.json. `tests/test_study.py` runs the same functions, fewer times.
"""
import argparse, datetime, json, os, platform, random, shutil, signal, subprocess, sys, time
from pathlib import Path

COMMAND = [sys.executable, "-c", "import sys; from semvideo.cli import main; sys.exit(main())"]
ENV = dict(os.environ, SEMVIDEO_QUIET="1", HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
VERBS = ("mine", "targets", "train", "decode", "render", "evaluate", "explain", "report")


def start(*words, **kw): return subprocess.Popen([*COMMAND, *map(str, words)], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)

def run(*words):
    p = start(*words)
    out, err = p.communicate()
    return p.returncode, out, err

def words(verb, study, tree, seed=0):
    "The command line of a verb on a study."
    more = dict(mine=["--backend", "script", "--captions", tree/"truth/scripts.jsonl"], train=["--seed", seed], decode=["--seed", seed], render=["--seed", seed], evaluate=["--ceilings", "4"])
    return [verb, "--study", study, *more.get(verb, []), "--quiet"]

def make(out, verbs=VERBS, n_train=2):
    "A miniature of some training segments and a study of it, these stages done."
    from semvideo.simulate import make_miniature
    tree = make_miniature(out/"miniature", n_subjects=1, seed=3, n_train=n_train, test_repeats=2); study = out/"study"
    for verb in (["prepare", "--root", tree, "--study", study, "--subject", "1"], *(words(v, study, tree) for v in verbs)):
        rc, _, err = run(*verb)
        assert rc == 0, (verb, err)
    return Path(study), Path(tree)

def files_of(study): # what a study holds: all but locks, caches and trash
    return sorted(p for p in study.rglob("*") if p.is_file() and p.suffix != ".lock" and "trash" not in p.parts)

def state(study):
    "Bytes of what the stages made, and their records; the log grows with each attempt."
    return {p.relative_to(study).as_posix(): p.read_bytes() for p in files_of(study) if p.name != "log.jsonl"}

def flips(study, n=300, seed=0, hide=True): # hide: put the modification time back
    "One bit turned over in a random file, n times: how often `check(verify)` or the log's own check notices. -> dict"
    from semvideo.cli import study_status
    from semvideo.core import SemvideoError
    rng, missed = random.Random(seed), []
    for _ in range(n):
        p = rng.choice(files_of(study)); old = p.read_bytes(); s = p.stat()
        if not old: continue
        new = bytearray(old); at = rng.randrange(len(new)); new[at] ^= 1 << rng.randrange(8); p.write_bytes(new)
        if hide: os.utime(p, ns=(s.st_atime_ns, s.st_mtime_ns))
        try: noticed = any(r["state"] not in ("done", "not begun") for r in study_status(study, verify=True))
        except SemvideoError: noticed = True
        if not noticed: missed.append(f"{p.relative_to(study)} at {at}")
        p.write_bytes(old); os.utime(p, ns=(s.st_atime_ns, s.st_mtime_ns))
    assert all(r["state"] in ("done", "not begun") for r in study_status(study, verify=True))
    return dict(flips=n, missed=missed)

def kills(study, tree, verb, n=10, seed=0):
    "Kill a verb n times at random moments, then let it end: are the bytes those of a run that nobody killed? -> dict"
    rng, want = random.Random(f"{seed} {verb}"), state(study); copy = study.parent/f"killed-{verb}"
    shutil.copytree(study, copy); t0 = time.time(); rc, _, err = run(*words(verb, copy, tree), "--force")
    assert rc == 0, err
    seconds, hit = time.time() - t0, 0
    shutil.rmtree(copy); copy = fresh(study, verb, f"killed-{verb}")
    for _ in range(n):
        p = start(*words(verb, copy, tree)); time.sleep(rng.uniform(.3, 1)*min(seconds, 20)); hit += p.poll() is None; p.kill(); p.communicate()
    rc, _, err = run(*words(verb, copy, tree)); free, _, _ = run("clean", "--study", copy)
    got = state(copy); differ = sorted(k for k in want.keys() | got.keys() if want.get(k) != got.get(k))
    shutil.rmtree(copy)
    return dict(verb=verb, kills=n, hit=hit, rc=rc, says=err[-300:], differ=differ, left=[k for k in got if k.endswith(".part")])

def fresh(study, verb, name):
    "A copy of the study in which this verb has not begun."
    from semvideo.core import Study
    copy = study.parent/name; shutil.copytree(study, copy)
    for k, r in list(Study(copy).stages().items()):
        if k.split("/")[0] == verb and not k.endswith("-ridge"): Study(copy).discard([copy/k, copy/"stages"/k/"stage.json", *(copy/f for f in r["files"])], "harness")
    run("clean", "--study", copy)
    return copy

def disk(study, tree, verb, kb=40):
    "No file may grow beyond some kB, as on a disk that is full: one clear line; with room again, the bytes of an undisturbed run. -> dict"
    import resource
    want = state(study); copy = fresh(study, verb, f"full-{verb}")
    p = start(*words(verb, copy, tree), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kb*1024, resource.RLIM_INFINITY))); _, err = p.communicate()
    parts = len(list(copy.rglob("*.part"))); rc, _, again = run(*words(verb, copy, tree)); got = state(copy); shutil.rmtree(copy)
    return dict(verb=verb, rc=p.returncode, says=err.strip()[-400:], clear=p.returncode == 2 and "Traceback" not in err and len(err.strip().splitlines()) <= 6, parts=parts, rc_again=rc, differ=sorted(k for k in want.keys() | got.keys() if want.get(k) != got.get(k)))

def pairs(study, tree, verb, other, rounds=1):
    "Two commands at once on one study: each ends well or with one clear line, and what is there is in order afterwards. -> dict"
    out = dict(verb=verb, other=" ".join(map(str, other[:1] + other[3:])), rounds=rounds, refused=0, bad=[])
    for i in range(rounds):
        copy = study.parent/f"pair-{verb}-{i}"; shutil.copytree(study, copy)
        one = [w if w != study else copy for w in words(verb, study, tree)] + ["--force"]; two = [w if w != study else copy for w in other]
        jobs = [start(*one), start(*two)]; said = [j.communicate() for j in jobs]
        for j, (o, e) in zip(jobs, said):
            out["refused"] += j.returncode == 2
            if j.returncode not in (0, 2) or "Traceback" in e or len(e.strip().splitlines()) > 6: out["bad"].append(e[-400:])
        rc, o, _ = run("status", "--study", copy, "--verify", "--json")
        if any(r["state"] == "damaged" for r in json.loads(o)): out["bad"].append(o[-400:])
        shutil.rmtree(copy)
    return out

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path); p.add_argument("--only", choices=["flips", "kills", "disk", "pairs"]); p.add_argument("--n", type=int, default=None); p.add_argument("--verbs", nargs="+", default=VERBS)
    a = p.parse_args(); a.out.mkdir(parents=True, exist_ok=True); study, tree = (a.out/"study", a.out/"miniature") if (a.out/"study/report.html").is_file() else make(a.out)
    file = a.out/"attacked.json"; found = json.loads(file.read_text()) if file.is_file() else {}
    def keep(**kw): found.update(kw); file.write_text(json.dumps(found, indent=1) + "\n")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    keep(commit=commit, date=str(datetime.date.today()), machine=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    if a.only in (None, "flips"): keep(flips=flips(study, a.n or 300))
    if a.only in (None, "kills"):
        for v in a.verbs: keep(kills={**found.get("kills", {}), v: kills(study, tree, v, a.n or 10)})
    if a.only in (None, "disk"):
        for v in a.verbs: keep(disk={**found.get("disk", {}), v: disk(study, tree, v)})
    if a.only in (None, "pairs"):
        for v in a.verbs:
            if v in ("mine", "report", "targets", "explain"): others = [[*words(v, study, tree), "--force"]]
            else: others = [[*words(v, study, tree, 1), "--force"], [*words(v, study, tree), "--force"]]
            for o in others: keep(pairs=[*found.get("pairs", []), pairs(study, tree, v, o, a.n or 20)])
    print(file)

if __name__ == "__main__": sys.exit(main())
