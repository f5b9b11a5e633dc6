"""Tests run offline, quietly, and with one thread each, so that two of them share two cores."""
import os
from semvideo.cli import keep_memory

for k, v in dict(HF_HUB_OFFLINE="1", SEMVIDEO_QUIET="1", OMP_NUM_THREADS="1", MPLBACKEND="agg", TOKENIZERS_PARALLELISM="false",
                 MALLOC_MMAP_THRESHOLD_=str(1 << 30), MALLOC_TRIM_THRESHOLD_=str(1 << 32)).items(): # the last two: large blocks stay with the process, as `keep_memory` does
    os.environ.setdefault(k, v)
keep_memory()

FIRST = ("test_demo.py", "test_notebooks.py", "test_cli.py", "test_study.py", "test_house.py") # the longest

def pytest_collection_modifyitems(items):
    """Longest files first, so that two processes end together (xdist would begin with the files of most tests: `--no-loadscope-reorder`). With `--dist loadfile` a file stays in one process, where its fixtures
    are made once and its tests follow each other (`loadgroup` would be finer, but pytest-xdist 3.8 does not group under pytest 9.2)."""
    items.sort(key=lambda i: FIRST.index(i.path.name) if i.path.name in FIRST else len(FIRST))
