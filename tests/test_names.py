"Names that a release held go on working: the same object, or the one that took its place, with a warning."
import ast
import importlib
import json
import warnings
from pathlib import Path

import pytest

root = Path(__file__).resolve().parents[1]
NAMES = json.loads((root/"tests/data/names.json").read_text()) # module -> what its `__all__` held in 0.1


@pytest.mark.parametrize("module", sorted(NAMES))
def test_every_name_of_the_release_is_there(module):
    room, moved = importlib.import_module(f"semvideo.{module}"), []
    for name in NAMES[module]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            getattr(room, name)
        moved += [str(w.message) for w in said if w.category is DeprecationWarning]
    assert all(" is now semvideo." in text for text in moved), moved
    with pytest.raises(AttributeError, match="no_such_name"): room.no_such_name


def test_what_moved_stands_in_the_changelog():
    changes = (root/"CHANGELOG.md").read_text()
    for path in (root/"semvideo").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "renamed": continue
            if not isinstance(node.args[1], ast.Call): continue # the trainers of the tiny bundle, named as a whole
            for keyword in node.args[1].keywords:
                new = ast.literal_eval(keyword.value).rpartition(".")[2]
                assert f"`{path.stem}.{keyword.arg}`" in changes and f"`{new}`" in changes, (path.stem, keyword.arg)


def test_design_names():
    "Names and places that others rely on."
    from semvideo import baselines, core, cvr, datasets, fmri, mad, metrics, neuro, sad, semminer, simulate, stats, train, video
    assert callable(core.Study) and callable(core.Decoded) and callable(cvr.CVR) and callable(sad.SAD) and callable(mad.MAD)
    for room, names in ((video, "read_clip write_video"), (fmri, "clean_run repeat_reliability select_voxels"),
                        (datasets, "prepare_cc2017 prepare_hcp prepare_table leak_audit"), (simulate, "make_miniature"),
                        (semminer, "SemMiner"), (train, "fit load"),
                        (metrics, "n_way_accuracy ssim psnr hue_pcc flow_epe clip_pcc vifi_score evaluate"),
                        (stats, "shuffle_test block_bootstrap published trust_card"), (neuro, "importance roi_table plot_map"),
                        (baselines, "Ridge")):
        for name in names.split(): assert callable(getattr(room, name)), name
