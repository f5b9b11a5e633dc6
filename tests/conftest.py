"""Tests run offline, quietly, and with one thread each, so that two of them share two cores."""
import os
import pytest
from semvideo.cli import keep_memory

for k, v in dict(HF_HUB_OFFLINE="1", SEMVIDEO_QUIET="1", OMP_NUM_THREADS="1", MPLBACKEND="agg", TOKENIZERS_PARALLELISM="false",
                 MALLOC_MMAP_THRESHOLD_=str(1 << 30), MALLOC_TRIM_THRESHOLD_=str(1 << 32)).items(): # the last two: large blocks stay with the process, as `keep_memory` does
    os.environ.setdefault(k, v)
keep_memory()

@pytest.hookimpl(tryfirst=True) # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Longest first, so that two processes end together. With `--dist loadgroup` a file stays in one process, where its fixtures are
    made once and its tests follow each other; notebooks and the tests of the house share nothing and go wherever there is room."""
    first = ("test_demo.py", "test_cli.py")
    order = lambda i: first.index(i.path.name) if i.path.name in first else len(first) + (i.path.name == "test_notebooks.py")
    items.sort(key=order)
    for i in items:
        if i.path.name not in ("test_notebooks.py", "test_house.py"): i.add_marker(pytest.mark.xdist_group(i.path.name))
