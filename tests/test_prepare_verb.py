"""750_prepare_verb: what is given is passed on, what a data set does not know is refused, and an old study comes back."""
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from semvideo.cli import main
from semvideo.core import Study
from verbs_help import cli as cli, refuses, state


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


def anew(own, out):
    "The command that prepares it."
    return ("prepare", "--dataset", "table", "--root", own/"runs.csv", "--mask", own/"mask.nii.gz", "--frames", 2,
            "--size", 16, "--method", "topk", "--k", 12, "--blocks", 5, "--study", out, "--quiet")


@pytest.fixture(scope="module")
def prepared(own):
    assert main([str(w) for w in anew(own, own/"study")]) == 0
    return own/"study"


@pytest.fixture
def study(prepared, tmp_path):
    "A copy of the prepared study, to be prepared again."
    return shutil.copytree(prepared, tmp_path/"s")


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
def test_prepare_refuses_what_a_dataset_does_not_know(study, tmp_path, cli, words, says):
    "Also with --force, which then deletes nothing."
    before = state(study)
    refuses(cli, "prepare", "--root", tmp_path, "--study", study, "--force", *words.split(), says=says)
    assert state(study) == before


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
        for d in ("cc2017", "hcp", "table", "bids")
    }
    names = lambda opts: {f[0][2:].replace("-", "_") for f, _ in opts}
    assert all(names(CHOICES) <= k
               for k in known.values()) and all(names(o) <= known[d] for d, o in ONLY.items())
    assert [m for f, kw in CHOICES if f[0] == "--method"
            for m in sorted(kw["choices"])] == sorted(datasets.fmri.METHODS)


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


@pytest.mark.parametrize("words", [["--frames", -1], ["--frames", 99999999], ["--blocks", -1], ["--method", "topk", "--k", -5]])
def test_prepare_refuses_before_it_begins(miniature, tmp_path, cli, words):
    refuses(cli, "prepare", "--root", miniature, "--study", tmp_path/"s", *words, says="out of range")
    assert not (tmp_path/"s").exists()


@pytest.mark.parametrize("words", [["--lag-s", "nan"], ["--clip-s", "1e-9"], ["--clip-s", "nan"], ["--lag-s", "inf"]])
def test_seconds_that_are_none(own, tmp_path, cli, words):
    refuses(cli, "prepare", "--root", own/"runs.csv", "--study", tmp_path/"s", "--dataset", "table",
            "--mask", own/"mask.nii.gz", *words, says="seconds")
    assert not (tmp_path/"s").exists()


def test_prepare_anew_ends_with_the_same_study_and_can_be_undone(own, study, cli):
    """A real study has locks and a trash of its own: the new one takes its place all the same, and the
    old one comes back."""
    words = anew(own, study)
    before = state(study)
    Study(study).stage("mine", {}, needs=("prepare",)).finish()
    mined = state(study)
    rc, said, _ = cli(*words, "--force", "--dry-run")
    assert rc == 0 and "prepare: replace" in said and state(study) == mined
    assert cli(*words, "--force")[0] == 0 and not (study/".new").exists() and state(
        study) == before
    assert cli("undo", "--study", study)[0] == 0 and state(study) == mined
    assert cli("status", "--study", study)[0] == 0


def test_a_dry_run_says_what_the_run_would(own, cli, tmp_path):
    "Kept where all is as it was; refused where the real run is: a source was replaced under its name, or another study is here."
    root = shutil.copytree(own, tmp_path/"root")
    out = tmp_path/"s"
    words = anew(root, out)
    rc, said, _ = cli(*words, "--dry-run")
    assert rc == 0 and "prepare: make" in said and not out.exists()
    assert cli(*words)[0] == 0
    rc, said, _ = cli(*words, "--dry-run")
    assert rc == 0 and "prepare: keep" in said
    kept = state(out)
    run = sorted(root.glob("*.nii.gz"))[0]
    run.write_bytes(run.read_bytes() + b"x")
    for dry in (["--dry-run"], []):
        rc, _, err = cli(*words, *dry)
        assert rc == 2 and run.name in err, (dry, err)
        rc, _, err = cli(*words, "--frames", 3, *dry)
        assert rc == 2 and "Another study" in err, (dry, err)
    assert state(out) == kept


@pytest.mark.parametrize("after", ["make", "discard", "move"])
def test_prepare_anew_killed_on_the_way(own, study, monkeypatch, cli, after):
    """Wherever it stops, one of the two studies is there or the same command goes on; the old one is
    never lost."""
    words = anew(own, study)
    before, moved = state(study), []
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
        study) == before and not (study/".new").exists()
    assert len(Study(study).trash()) == 1
