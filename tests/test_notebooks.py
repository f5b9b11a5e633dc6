"Every notebook passes `nbdev_test` alone, in a process of its own: nothing leaks from one to the next."
import os, shutil, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).resolve().parents[1]
notebooks = sorted(p.relative_to(root) for p in (root/"nbs").rglob("*.ipynb") if not any(o.startswith(("_", ".")) for o in p.relative_to(root).parts))

@pytest.mark.parametrize("nb", notebooks, ids=str)
def test_notebook(nb):
    exe = shutil.which("nbdev_test", path=str(Path(sys.executable).parent)) or shutil.which("nbdev_test")
    if exe is None: pytest.skip("nbdev is not installed")
    env = dict(os.environ, HF_HUB_OFFLINE="1", OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"))
    r = subprocess.run([exe, "--path", str(nb), "--n_workers", "0"], cwd=root, env=env, capture_output=True, text=True, timeout=600)
    assert r.returncode == 0 and "Success." in r.stdout, r.stdout[-2000:] + r.stderr[-6000:]
