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
