"""What the tests of a study and its stages share: a small study of three stages, what it refuses."""
import numpy as np, pandas as pd, pytest
from semvideo.core import CREATED_FILES, SemvideoError, Study, write_npy, write_safetensors

CLIPS = pd.DataFrame(
    dict(clip_id=[f"seg1_{i:03d}" for i in range(6)], split="train", segment="seg1",
         onset_s=[2.*i for i in range(6)], duration_s=2., source="a.mp4"))

LEVELS = ("basic", "anchor", "motion", "holistic")

@pytest.fixture
def study(tmp_path): return chain(tmp_path)

def chain(tmp_path):
    "Three stages in a row, each with a file: prepare, targets, train."
    s = Study.create(tmp_path/"s", "s", "made here", CLIPS)
    write_npy(s.path/"frames/train.npy", np.zeros((6, 2, 8, 8, 3), np.uint8))
    s.save_captions(
        "train", pd.DataFrame([dict(clip_id=i, **{l: i
                                                  for l in LEVELS})
                               for i in CLIPS.clip_id]))
    files = [
        s.path/f for f in (*CREATED_FILES, "frames/train.npy", "captions/train.csv")
    ]
    s.stage("prepare", dict(n=1)).finish(files)
    write_npy(s.path/"targets/train.npy", np.arange(12.))
    s.stage("targets", dict(b=1), needs=("prepare",)).finish([s.path/"targets/train.npy"])
    write_safetensors(s.path/"train/sub-1/w.safetensors", dict(w=np.arange(4.)))
    s.stage("train", {}, needs=("targets", ),
            part="sub-1").finish([s.path/"train/sub-1/w.safetensors"])
    return s

def states(s, **kw): return {k: v["state"] for k, v in s.check(**kw).items()}

def refuses(f, *words):
    with pytest.raises(SemvideoError) as e: f()
    said = str(e.value)
    assert all(w in said for w in words), said
    return said
