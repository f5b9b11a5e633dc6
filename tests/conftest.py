"Tests run offline, quietly, and with one thread each, so that two of them share two cores."
import os

for k, v in dict(HF_HUB_OFFLINE="1", SEMVIDEO_QUIET="1", OMP_NUM_THREADS="1", MPLBACKEND="agg", TOKENIZERS_PARALLELISM="false").items():
    os.environ.setdefault(k, v)
