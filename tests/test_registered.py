"599_registered, 758_registered_verb: what was written down is what is run, and what is done otherwise stands above the tables."
import os

import numpy as np
import pandas as pd
import pytest

from semvideo.cli import main
from semvideo.core import SemvideoError, Study, read_json, write_json, write_npy
from semvideo.datasets import prepare_cc2017
from semvideo.decoders import RECIPES
from semvideo.registered import deviations, registration, run_prepared, table_1, table_3
from semvideo.semminer import ScriptBackend

N = dict(train=40, test=24) # three blocks of 20 s


@pytest.fixture(scope="module")
def study(miniature, tmp_path_factory):
    "The first clips of a miniature, two subjects."
    root = tmp_path_factory.mktemp("registered")
    big = prepare_cc2017(miniature, root/"big", (1, 2))
    clips = pd.concat([big.select(s)[:n] for s, n in N.items()])
    clips.loc[(clips.split == "train") & (clips.onset_s >= N["train"]), "segment"] = "seg1b"
    out = Study.create(root/"small", "simulated", "the first clips of a miniature", clips, {})
    for s, n in N.items():
        write_npy(out.path/f"frames/{s}.npy", np.asarray(big.frames(s)[:n]))
        for k in (1, 2): out.save_fmri(k, s, np.asarray(big.fmri(k, s)[:n]))
    for k in (1, 2): out.save_voxels(k, big.voxels(k))
    out.stage("prepare", {}).finish()
    return out


def small():
    "The written registration, with parts that a test can pay for."
    recipe = RECIPES["miniature"].to_dict()
    for k in ("sad_pretrain", "sad_tune", "mad_pretrain", "mad_tune"): recipe[k] = recipe[k] | dict(epochs=1, batch=16)
    return registration().replace(bundle="tiny", judges="tiny", recipe=recipe, subjects=(1, 2), seeds=(0,), size=64,
                                  n_frames=8, n_boot=200, render_mode="fast", ablations=("without-mad",), profile="strict") # flow at 512 px is slow


@pytest.mark.long
def test_from_captions_to_both_tables(study, miniature, tmp_path):
    written, used = registration(), small()
    tables = run_prepared(study, tmp_path, ScriptBackend(miniature/"truth/scripts.jsonl"), written, used)
    one, three = (pd.read_csv(tmp_path/f"{t}.csv") for t in ("table1", "table3"))
    assert {"2-way-V", "50-way-I", "SSIM", "PSNR", "EPE"} <= set(one.metric) <= set(written.primary), set(one.metric)
    assert (one.n == 24).all() and not (one.n_eff > 24).any() and one.sd_subjects.notna().all() and one.sd_seeds.isna().all()
    for null in written.nulls: assert null in one and one[null].notna().any()
    assert one.printed.notna().all() and set(one["above shuffled fMRI"].fillna("")) <= {"yes", "no", ""}
    assert set(three.row) == {"without-mad"} and (three.printed[three.metric == "SSIM"] == .285).all()
    text = tables.text()
    assert "NOT as written down" in text and "bundle: tiny, not sd15" in text and "n_eff" in text
    # each value is the mean over subjects of the clips' scores
    clips = [pd.read_csv(tmp_path/f"seed-0/evaluate/sub-{s}/clips.csv") for s in (1, 2)]
    ssim = np.mean([c[(c.system == "SemVideo") & (c.metric == "SSIM")].value.mean() for c in clips])
    assert one.value[one.metric == "SSIM"].iloc[0] == pytest.approx(ssim)
    mark = read_json(tmp_path/"registration.json")
    assert mark["differs"] == deviations(written, used)
    with pytest.raises(SemvideoError, match="Another registration"):
        run_prepared(study, tmp_path, None, written, used.replace(seeds=(5,)))


def scores(shift, seed=0, n=240, noise=.05):
    value = .3 + shift + noise*np.random.default_rng(seed).normal(size=n)
    return pd.DataFrame(dict(clip_id=[f"c{i}" for i in range(n)], metric="SSIM", variant="v", value=value, chance=.1))


CLIPS = pd.DataFrame(dict(clip_id=[f"c{i}" for i in range(240)], segment="t", onset_s=2.*np.arange(240)))


def test_no_claim_without_a_difference():
    "Systems that are the same but for noise are claimed to differ about as often as the level says, after Holm."
    said = []
    for seed in range(100):
        ours, null = {(0, 1): scores(0, seed)}, {(0, 1): scores(0, 1000 + seed)}
        said.append(table_1(ours, dict(null=null), CLIPS, ("SSIM",))["above null"].iloc[0] == "yes")
    assert np.mean(said) <= .08
    better = table_1({(0, 1): scores(.1, 1)}, dict(null={(0, 1): scores(0, 2)}), CLIPS, ("SSIM",))
    assert better["above null"].iloc[0] == "yes"
    worse = table_1({(0, 1): scores(-.1, 1)}, dict(null={(0, 1): scores(0, 2)}), CLIPS, ("SSIM",))
    assert worse["above null"].iloc[0] == "no"


def test_a_lower_metric_is_better_lower():
    epe = lambda shift, seed: scores(shift, seed).assign(metric="EPE")
    table = table_3({(0, 1): epe(0, 1)}, {"without-mad": {(0, 1): epe(.2, 2)}}, CLIPS, ("EPE",))
    assert table.difference.iloc[0] > 0 and table.matters.iloc[0] == "yes" and table.printed.iloc[0] == 4.93


def test_what_cannot_be_meant(tmp_path, capsys):
    written = registration().to_dict()
    write_json(tmp_path/"r.json", written | dict(ablations=["without-luck"]))
    with pytest.raises(SemvideoError, match="Unknown row"): registration(tmp_path/"r.json")
    write_json(tmp_path/"r.json", written | dict(seeds=[]))
    with pytest.raises(SemvideoError, match="without seeds"): registration(tmp_path/"r.json")
    words = ["registered", "--root", str(tmp_path), "--out", str(tmp_path/"o"), "--quiet"]
    assert main(words) == 2 and "Captions of what is seen" in capsys.readouterr().err
    assert main([*words, "--change", "luck=1"]) == 2 and "Not a setting" in capsys.readouterr().err
    assert not (tmp_path/"o").exists()


@pytest.mark.skipif("SEMVIDEO_SLOW" not in os.environ, reason="minutes: every clip of a simulated CC2017, from its scans")
def test_from_the_scans_by_one_command(miniature, tmp_path, capsys):
    assert main(["registered", "--root", str(miniature), "--out", str(tmp_path), "--quiet", "--change", "bundle=tiny", "judges=tiny",
                 "subjects=[1]", "seeds=[0]", "size=64", "n_frames=8", "recipe=auto", 'ablations=["without-mad"]', "n_boot=500"]) == 0
    out = capsys.readouterr().out
    assert "NOT as written down" in out and "Table 3" in out
    assert (pd.read_csv(tmp_path/"table1.csv").n == 240).all()
