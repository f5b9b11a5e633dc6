"""565_submission and its verb: subjects pooled as the tables do, and never pooled where they were not scored alike."""
import numpy as np
import pandas as pd
import pytest

from semvideo.cli import main
from semvideo.core import SemvideoError, read_csv
from semvideo.folders import score
from semvideo.nulls import disc_film
from semvideo.submission import submission


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    "Three subjects' scores of one film, each with more noise than the one before."
    root, rng = tmp_path_factory.mktemp("scores"), np.random.default_rng(0)
    truth = disc_film(12, 0)[0]
    np.save(root/"truth.npy", truth)
    for i, noise in enumerate((5, 20, 60), 1):
        np.save(root/f"{i}.npy", np.clip(truth+rng.normal(0, noise, truth.shape), 0, 255).astype(np.uint8))
        score(root/f"{i}.npy", root/"truth.npy", root/f"score-{i}", models=None, fps=4)
    return root


def test_mean_over_subjects(scores):
    "The row is the mean over subjects of their means over clips, with the spread over subjects, whatever the order."
    row = submission({i: scores/f"score-{i}" for i in (1, 2, 3)}, "noise")
    own = [read_csv(scores/f"score-{i}/clips.csv") for i in (1, 2, 3)]
    means = [d[(d.rung == "ours") & (d.metric == "SSIM")].value.mean() for d in own]
    ssim = row.pooled.set_index("metric").loc["SSIM"]
    assert means[0] > means[1] > means[2]
    assert ssim.value == pytest.approx(np.mean(means)) and ssim.sd_subjects == pytest.approx(np.std(means, ddof=1))
    back = submission({i: scores/f"score-{i}" for i in (3, 2, 1)}, "noise")
    assert back.pooled.set_index("metric").loc["SSIM"].value == pytest.approx(ssim.value)


def test_the_verb_writes_the_row(scores, tmp_path, capsys):
    assert main(["row", *(str(scores/f"score-{i}") for i in (1, 2, 3)), "--name", "noise & more", "--out", str(tmp_path/"row"), "--quiet"]) == 0
    assert "noise & more" in capsys.readouterr().out
    tex = (tmp_path/"row/row.tex").read_text()
    assert r"\toprule" in tex and r"noise \& more" in tex
    table = pd.read_csv(tmp_path/"row/row.csv")
    assert {"SSIM", "PSNR"} <= set(table.metric)
    assert "subjects" in (tmp_path/"row/methods.txt").read_text()


def test_unlike_scores_are_not_pooled(scores, tmp_path, capsys):
    "Another rate, other clips, no score: one clear line, and nothing written."
    score(scores/"3.npy", scores/"truth.npy", tmp_path/"other-rate", models=None, fps=8)
    with pytest.raises(SemvideoError, match="not scored alike: fps"): submission({1: scores/"score-1", 2: tmp_path/"other-rate"}, "x")
    assert main(["row", str(scores), "--out", str(tmp_path/"row"), "--quiet"]) == 2
    assert "Not a folder of scores" in capsys.readouterr().err and not (tmp_path/"row").exists()


def test_the_interval_of_a_row_knows_that_clips_are_neighbours(tmp_path):
    """Scores that drift through 600 clips: the row's interval is that of `mean_interval` on the clips' means over
    subjects; with every clip a stretch of its own it would hold the true mean in a third of all films."""
    from semvideo.intervals import mean_interval
    from semvideo.submission import Scored
    from stats_help import ar
    drift = ar(.95, 2, 2600)[:, 2000:]
    how = dict(shape=[600, 6, 64, 64, 3], profile="strict", clips=600, did=[])
    one = dict(metric="SSIM", variant="strict", unit="ssim")
    scored = []
    for i, values in enumerate(drift):
        clips = pd.DataFrame(dict(one, clip_id=[f"{k:03d}" for k in range(600)], value=values, chance=0.))
        results = pd.DataFrame([dict(one, value=values.mean(), chance=0., corrected=values.mean(), n=600, spread=1., spread_of="sd across clips")])
        scored.append(Scored(str(i), clips, results, how))
    row = submission({s.subject: s for s in scored}, "drift")
    got, want = row.pooled.iloc[0], mean_interval(drift.mean(0))
    assert (got.low, got.high, got.how) == (pytest.approx(want.low), pytest.approx(want.high), want.how)
    assert want.n_eff < 60 and f"of the mean over subjects, {want.how}." in row.methods


def test_a_row_without_an_interval_says_why(scores):
    row = submission({i: scores/f"score-{i}" for i in (1, 2)}, "noise")
    assert row.pooled.low.isna().all() and "There is no interval: 12 clips, fewer than 5 segments" in row.methods
    assert "| 95 % interval | - |" in row.markdown()
