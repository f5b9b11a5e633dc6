"770_demo: the main job as a newcomer runs it: one command, a page at the end."
import os, shutil, subprocess, sys, time
from pathlib import Path
import pandas as pd, psutil, pytest

# know nothing of the clip
NULLS = {
    "mean image", "mean video", "static first frame", "random training clip", "shuffled fMRI",
    "shifted fMRI"
}

def command():
    exe = shutil.which("semvideo", path=str(Path(sys.executable).parent))
    return [exe] if exe else [
        sys.executable, "-c", "import sys; from semvideo.cli import main; sys.exit(main())"
    ]

def memory(pid):
    "Resident bytes of a process and its children."
    total = 0
    try:
        for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            try: total += p.memory_info().rss
            except psutil.Error: pass
    except psutil.Error: pass
    return total

def run_watched(cmd, cwd, log, timeout=3600):
    "Run a command; returns (exit status, seconds, largest resident GiB)."
    t0, peak = time.time(), 0
    with open(log, "w") as f:
        p = subprocess.Popen(cmd, cwd=cwd, stdout=f, stderr=subprocess.STDOUT)
        while p.poll() is None:
            peak = max(peak, memory(p.pid))
            time.sleep(.5)
            if time.time() - t0 > timeout: p.kill()
    return p.returncode, time.time() - t0, peak/2**30

@pytest.fixture(scope="module")
def run(tmp_path_factory):
    d = tmp_path_factory.mktemp("demo")
    return d/"demo", d/"log.txt", run_watched([*command(), "demo", "--out", "demo", "--seed", "0"],
                                              d, d/"log.txt")

@pytest.mark.slow
def test_demo_ends_with_a_page(run, capsys):
    out, log, (rc, seconds, gib) = run
    with capsys.disabled():
        print(
            f"\nsemvideo demo: {seconds:.0f} s, {gib:.2f} GiB resident at most, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}, "
            f"{os.cpu_count()} cores")
    said = log.read_text()
    assert rc == 0, said[-4000:]
    assert said.strip().splitlines()[-1] == os.path.join(
        "demo", "report.html"), "the page's path comes last"
    assert len(list(out.rglob("report.html"))) == len(list(out.rglob("results.csv"))) == 1
    assert "Traceback" not in said and gib < 6

@pytest.mark.slow
def test_demo_says_what_it_is_doing(run):
    said = run[1].read_text()
    for i, stage in enumerate(
            "simulate prepare mine targets train decode render evaluate explain report".split(), 1):
        assert f"[{i}/10] {stage}:" in said
    assert "scene scripts" in said and "left)" in said

@pytest.mark.slow
def test_demo_scores_every_null_beside_the_reconstruction(run):
    t = pd.read_csv(next(run[0].rglob("results.csv")), keep_default_na=False)
    for metric in ("kind", "colour", "direction", "SSIM", "EPE", "VIFI-score"):
        assert NULLS | {"SemVideo"} <= set(t[t.metric == metric].system), metric
    assert {"SemVideo", "ridge"} <= set(t[t.variant.str.contains("text state")].system)
    assert pd.to_numeric(t.value).notna().all() and (t.profile == "strict").all()

@pytest.mark.slow
@pytest.mark.parametrize("metric", ["kind", "colour", "direction"])
def test_reconstruction_beats_every_null(run, metric):
    t = pd.read_csv(next(run[0].rglob("results.csv")), keep_default_na=False)
    t = t[(t.metric == metric) & t.system.isin(NULLS)]
    assert len(t) == len(NULLS) and (t.beaten == "yes").all(), t[[
        "system", "value", "gain", "gain_low"
    ]].to_string()

@pytest.mark.slow
def test_page_makes_no_request(run):
    page = (run[0]/"report.html").read_text(encoding="utf-8")
    import re
    assert not re.findall(r"""(?:src|href)\s*=\s*["']https?://[^"']+\.(?:js|css|png|mp4|woff2?)""",
                          page) and "<video" in page
    assert str(run[0]) not in page, "the page names a folder of this machine"

@pytest.mark.slow
def test_demo_again_changes_nothing(run):
    out, log, _ = run
    before = {
        p: p.stat().st_mtime_ns
        for p in out.rglob("*.npy")
    }, next(out.rglob("results.csv")).read_bytes()
    rc, seconds, _ = run_watched([*command(), "demo", "--out", "demo", "--seed", "0"], out.parent,
                                 log.with_name("again.txt"))
    assert rc == 0 and seconds < 600
    assert ({
        p: p.stat().st_mtime_ns
        for p in out.rglob("*.npy")
    }, next(out.rglob("results.csv")).read_bytes()) == before

@pytest.mark.slow
def test_the_verbs_find_what_the_demo_made(run, capsys):
    "Of the same settings, so that one can go on from the demo: nothing to make again."
    from semvideo.cli import main
    for verb in ("render", "evaluate", "explain"):
        assert not main([verb, "--study", str(run[0]), "--subject", "1", "--dry-run"])
        said = capsys.readouterr().out
        assert f"{verb}/sub-1" in said and "keep" in said, (verb, said)

@pytest.mark.slow
def test_demo_refuses_another_seed_in_the_same_folder(run):
    out, log, _ = run
    rc, _, _ = run_watched([*command(), "demo", "--out", "demo", "--seed", "1"], out.parent,
                           log.with_name("other.txt"))
    said = log.with_name("other.txt").read_text()
    assert rc == 2 and "seed: 0 -> 1" in said and "Traceback" not in said

@pytest.mark.slow
def test_a_row_of_the_ablation_finds_the_demo_in_order(run, tmp_path):
    from semvideo.ablation import branch_study
    from semvideo.core import Study
    study = Study(run[0])
    shared = [k for k in study.stages() if k.split("/")[0] in ("prepare", "mine", "targets", "train")]
    own = branch_study(study, tmp_path/"row", tuple(shared))
    assert {v["state"] for v in own.check().values()} == {"done"} and set(own.stages()) == set(shared)

@pytest.mark.slow
def test_results_move_only_with_the_version_of_their_stage(run):
    """A room whose code gives other results raises its version, so that studies made before become
    stale: `python tests/fingerprint.py STUDY --record` afterwards."""
    import json
    import fingerprint
    new, old = fingerprint.fingerprint(run[0]), json.loads(fingerprint.RECORD.read_text())
    assert fingerprint.moved(old, new) == []
    stage = "decode/sub-1/test"
    file = "decode/sub-1/test.safetensors"
    values = new[stage]["files"][file]
    values["latents"][1] += .1*values["latents"][2] # other code, the same version
    assert fingerprint.moved(old, new)[0].startswith(f"{stage}: {file} latents")
    new[stage]["version"] += 1
    assert fingerprint.moved(old, new) == []
