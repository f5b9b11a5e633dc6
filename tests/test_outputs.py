"567_outputs and its verb: the films that three groups published, in the layouts they lie in, by one word."
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from semvideo.cli import main
from semvideo.core import SemvideoError
from semvideo.folders import load_pairs
from semvideo.nulls import disc_film
from semvideo.outputs import OUTPUTS, beside_printed, find_outputs, missing_numbers, score_outputs, subject_of
from semvideo.published import published

N, SIDE = 12, 32


def write_gif(path, frames, ms):
    pictures = [Image.fromarray(f) for f in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=ms, loop=0)


def grid(truth, recon):
    "As torchvision's make_grid leaves two films: 2 black pixels around each."
    out = np.zeros((len(truth), SIDE + 4, 2*SIDE + 6, 3), np.uint8)
    out[:, 2:-2, 2:SIDE + 2], out[:, 2:-2, SIDE + 4:-2] = truth, recon
    return out


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    "Three downloads of two subjects, with films that differ by subject."
    root, (truth, recon) = tmp_path_factory.mktemp("films"), disc_film(N, 3, wrong=.3)
    for subject, films in ((1, recon), (2, recon[::-1])):
        for i in range(N):
            short = grid(truth[i][:6], films[i][:6])
            write_gif(root/f"mind-video/subject{subject}/sample-all/test{i+1}.gif", short, 333)
            write_gif(root/f"neurons/EXP/exp_a/subj_{subject}/gen_videos/{i}-a disc - moves.gif", short, 333)
            if i > 3: continue # its flow is measured at 512 px
            write_gif(root/f"mind-animator/sub0{subject}/recons_and_gt/test_and_gt{i+1}.gif", grid(truth[i], films[i]), 250)
            write_gif(root/f"mind-animator/sub0{subject}/recons_only/test{i+1}.gif", films[i], 250)
    return root, truth, recon


@pytest.mark.parametrize("word", list(OUTPUTS))
def test_each_layout_is_found_and_read(word, films):
    root, truth, recon = films
    found = find_outputs(root/word, word)
    assert list(found) == ["1", "2"] and not any(missing_numbers(f, word) for f in found.values())
    names, read, seen = load_pairs(found["1"], layout=OUTPUTS[word].layout)
    (n, frames), truth, recon = read.shape[:2], truth[:len(read)], recon[:len(read)]
    assert n == (4 if word == "mind-animator" else N)
    assert frames == (8 if word == "mind-animator" else 6)
    # truth and reconstruction are not exchanged, and clip 10 does not stand after clip 1
    assert abs(seen.astype(int) - truth[:, :frames]).mean() < 8 < abs(seen.astype(int) - recon[:, :frames]).mean() + 8
    assert abs(read.astype(int) - recon[:, :frames]).mean() < 8
    assert abs(read.astype(int) - recon[:, :frames]).mean() < abs(read.astype(int) - truth[:, :frames]).mean()


@pytest.mark.parametrize("word", list(OUTPUTS))
def test_one_word_gives_the_row_and_what_was_printed(word, films, tmp_path, capsys):
    root, name = films[0]/word, {"mind-video": "MinD-Video", "neurons": "NEURONS", "mind-animator": "Mind-Animator"}[word]
    assert main(["score", str(root), "--as", word, "--models", "none", "--out", str(tmp_path/"s"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert f"{name}, subject 2" in out and "not 1200" in out
    told = pd.read_csv(tmp_path/"s/printed.csv").set_index("metric")
    printed = published("cc2017").set_index("method").loc[name]
    assert told.printed["SSIM"] == printed["SSIM"] and np.isfinite(told.rescored["SSIM"])
    assert told.rescored["SSIM"] == pytest.approx(pd.read_csv(tmp_path/"s/row/row.csv").query("metric == 'SSIM' and subject == 'mean'").value.iloc[0])
    assert main(["leaderboard", "--scores", str(tmp_path/"s")]) == 0
    assert f"{name}: printed, and scored again" in capsys.readouterr().out


def test_a_value_that_comes_out_again_and_one_that_does_not(films, tmp_path):
    row = score_outputs(films[0]/"neurons", "neurons", tmp_path, models=None)
    how = dict(protocol="neurons", shape=[1200, 6, 260, 259, 3], clips=1200, fps=3, models={})
    row.pooled.loc[row.pooled.metric == "PSNR", "value"] = 9.53
    row.pooled.loc[row.pooled.metric == "SSIM", "value"] = .2
    why = beside_printed(row, how).set_index("metric").why
    assert why["PSNR"] == "comes out again" and not why["SSIM"].startswith("comes out")
    assert why["2-way-V"] == "not scored"


def test_what_cannot_be_scored_says_why(films, tmp_path, capsys):
    root = films[0]
    import shutil
    with pytest.raises(SemvideoError, match="No films of NEURONS"): find_outputs(root/"mind-video", "neurons")
    shutil.copytree(root/"neurons", tmp_path/"two")
    shutil.copytree(tmp_path/"two/EXP/exp_a/subj_1/gen_videos", tmp_path/"two/EXP/exp_a/subj_1/gen_videos_motion")
    assert main(["score", str(tmp_path/"two"), "--as", "neurons", "--models", "none", "--out", str(tmp_path/"o"), "--quiet"]) == 2
    assert "Several folders of films of subject 1" in capsys.readouterr().err and not (tmp_path/"o").exists()
    shutil.copytree(root/"mind-video", tmp_path/"gap")
    (tmp_path/"gap/subject2/sample-all/test5.gif").unlink()
    assert main(["score", str(tmp_path/"gap"), "--as", "mind-video", "--models", "none", "--out", str(tmp_path/"o"), "--quiet"]) == 2
    assert "Clips are missing" in capsys.readouterr().err and not (tmp_path/"o").exists()
    assert main(["leaderboard", "--scores", str(tmp_path)]) == 2
    assert "No scores of published films" in capsys.readouterr().err
    assert subject_of("reconstruction_results_sub3") == "3" and subject_of("submarine") == ""
