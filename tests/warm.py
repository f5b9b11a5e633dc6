"""What a command of semvideo imports and looks up, done once: `tests/harness.py` forks its commands from a process that has."""
import gc
import importlib
from pathlib import Path
import numpy as np
import pandas as pd

OTHERS = """
    preload torch accelerate av nibabel filelock psutil scipy.stats scipy.ndimage scipy.optimize scipy.sparse.linalg
    sklearn.linear_model sklearn.decomposition matplotlib.pyplot PIL.WebPImagePlugin PIL.JpegImagePlugin
    transformers.models.clip.tokenization_clip
"""
OURS = sorted(p.stem for p in (Path(__file__).parent.parent/"semvideo").glob("[a-z]*.py"))

for name in (*OTHERS.split(), *(f"semvideo.{p}" for p in OURS)): importlib.import_module(name)


def draw_a_map():
    "Surfaces, atlas and fonts are read by the first map that is drawn."
    import io
    import matplotlib.pyplot as plt
    from semvideo.cortex import atlas
    from semvideo.maps import plot_map
    parts = [pd.DataFrame(dict(hemisphere=h, vertex=np.flatnonzero(atlas(h) != ""))) for h in "LR"]
    voxels = pd.concat(parts, ignore_index=True)
    voxels["parcel"] = np.concatenate([atlas(h)[p.vertex] for h, p in zip("LR", parts)])
    for views in (("lateral", "medial"), ("flat",)):
        plot_map(np.arange(len(voxels), dtype=float), voxels, views=views, title="a map", label="x").savefig(io.BytesIO())
    plt.close("all")


draw_a_map()
gc.collect()
gc.freeze() # a forked process then leaves this memory alone
