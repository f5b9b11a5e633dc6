"598_model_tables and its verb: caption sets of several models, each decoded by the same recipe, on one small study."
import numpy as np
import pandas as pd
import pytest

from semvideo.cli import main
from semvideo.core import SemvideoError, Study, write_npy
from semvideo.decoders import RECIPES
from semvideo.film import KINDS
from semvideo.mllm import ClassifierBackend, TransformersBackend, tiny_mllm
from semvideo.model_tables import captioned_branch, model_tables
from semvideo.semminer import ScriptBackend, mine_study
from semvideo.datasets import prepare_cc2017

N = dict(train=40, test=24) # three blocks of 20 s to resample

pytestmark = pytest.mark.long # three models through every stage


@pytest.fixture(scope="module")
def study(miniature, tmp_path_factory):
    "The first clips of a miniature."
    root = tmp_path_factory.mktemp("tables")
    big = prepare_cc2017(miniature, root/"big", (1,))
    clips = pd.concat([big.select(s)[:n] for s, n in N.items()])
    clips.loc[(clips.split == "train") & (clips.onset_s >= N["train"]), "segment"] = "seg1b"
    out = Study.create(root/"small", "simulated", "the first clips of a miniature", clips, {})
    for s, n in N.items():
        write_npy(out.path/f"frames/{s}.npy", np.asarray(big.frames(s)[:n]))
        out.save_fmri(1, s, np.asarray(big.fmri(1, s)[:n]))
    out.save_voxels(1, big.voxels(1))
    out.stage("prepare", {}).finish()
    return out


@pytest.fixture(scope="module")
def sets(study, miniature, tmp_path_factory):
    "Stores of three models: the scripts, an image classifier, a tiny multimodal model with random weights."
    root = tmp_path_factory.mktemp("sets")
    tiny = TransformersBackend(tiny_mllm("Qwen2.5-VL", root/"qwen"), clip_s=2.)
    backends = dict(script=ScriptBackend(miniature/"truth/scripts.jsonl"), classifier=ClassifierBackend(), qwen=tiny)
    out = {}
    for name, backend in backends.items():
        own = captioned_study(study, root/f"{name}")
        mined = mine_study(own, backend)
        assert not mined.failed
        out[name] = own.path/"mine/store"
    return out


def captioned_study(study, folder):
    from semvideo.ablation import branch_study
    return branch_study(study, folder, ("prepare",))


@pytest.fixture(scope="module")
def recipe():
    r = RECIPES["miniature"].to_dict()
    for k in ("sad_pretrain", "sad_tune", "mad_pretrain", "mad_tune"): r[k] = r[k] | dict(epochs=1, batch=16)
    return r


@pytest.mark.long
def test_three_models_through_every_stage(study, sets, recipe, tmp_path):
    tables = model_tables(study, sets, 1, tmp_path/"out", n_boot=200, recipe=recipe, profile="strict")
    assert list(tables.lengths.captions.unique()) == list(sets) == list(tables.wide().index)
    six = pd.read_csv(tmp_path/"out/table6.csv")
    assert {"SSIM", "2-way-V", "EPE", "CLIP-pcc"} <= set(six.metric)
    first, rest = six[six.row == "script"], six[six.row != "script"]
    assert first.difference.isna().all() and np.isfinite(rest.difference).all()
    base = first.set_index(["metric", "variant"]).value
    again = rest.value.to_numpy() - base.loc[list(zip(rest.metric, rest.variant))].to_numpy()
    np.testing.assert_allclose(rest.difference, again, atol=1e-6)
    assert (abs(rest.difference) > 1e-6).any()
    # the words did reach what was decoded
    texts = [np.load(tmp_path/f"out/{name}/targets/test/holistic.npy") for name in ("script", "qwen")]
    assert not np.array_equal(*texts)
    # what is done is not done again, and nothing was written into the study itself
    stamp = {p: p.stat().st_mtime_ns for p in (tmp_path/"out").rglob("*.safetensors")}
    again = model_tables(study, sets, 1, tmp_path/"out", n_boot=200, recipe=recipe, profile="strict")
    assert stamp == {p: p.stat().st_mtime_ns for p in (tmp_path/"out").rglob("*.safetensors")}
    pd.testing.assert_frame_equal(again.scores, tables.scores)
    assert not (study.path/"captions").exists() and not (study.path/"train").exists()


def test_a_set_that_lacks_a_clip_is_refused_before_anything_is_trained(study, sets, tmp_path):
    from semvideo.caption_files import load_captions
    short = load_captions(sets["script"]).iloc[1:]
    with pytest.raises(SemvideoError, match="does not cover the study"):
        model_tables(study, dict(all=sets["script"], short=short), 1, tmp_path/"out")
    assert not (tmp_path/"out").exists()


def test_captions_that_lie_are_told_from_those_that_do_not(study, sets, tmp_path):
    "Tables 4 and 5 are the same for sentences about the wrong things; the branch holds the words it was given."
    from semvideo.caption_files import load_captions
    told = load_captions(sets["script"])
    liar = told.replace({f"\\b{a}\\b": b for a, b in zip(KINDS, KINDS[1:] + KINDS[:1])}, regex=True)
    own = captioned_branch(study, "liar", liar, tmp_path/"liar")
    assert own.captions("test").holistic.tolist() != told.set_index("clip_id").loc[own.clip_ids("test")].holistic.tolist()
    tables = model_tables(study, dict(script=told, liar=liar), 1, tmp_path/"out", decode=False)
    mean = tables.lengths.pivot(index="level", columns="captions", values="mean")
    assert abs(mean.script - mean.liar).max() < 1


def test_the_verb(study, sets, tmp_path, capsys):
    names = [str(sets["script"]), str(sets["classifier"])]
    words = ["captions", "tables", "--study", str(study.path), "--others", *names, "--out", str(tmp_path/"out"), "--words-only",
             "--models", "tiny", "--quiet"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "Table 4" in out and "Table 5" in out and "Table 6" not in out
    assert main(["captions", "tables", "--study", str(study.path), "--out", str(tmp_path/"x"), "--quiet"]) == 2
    assert "needs --others" in capsys.readouterr().err
