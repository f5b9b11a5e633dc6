"""Tests run offline, quietly, and with one thread each, so that two of them share two cores."""
import os
from semvideo.cli import keep_memory

for k, v in dict(HF_HUB_OFFLINE="1", SEMVIDEO_QUIET="1", OMP_NUM_THREADS="1", MPLBACKEND="agg", TOKENIZERS_PARALLELISM="false",
                 MALLOC_MMAP_THRESHOLD_=str(1 << 30), MALLOC_TRIM_THRESHOLD_=str(1 << 32)).items(): # the last two: large blocks stay with the process, as `keep_memory` does
    os.environ.setdefault(k, v)
keep_memory()
