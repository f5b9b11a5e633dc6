"""What the caption tests share: a study of a few clips, and the loopback server as a process."""
import contextlib, json, subprocess, sys, urllib.request
from pathlib import Path
import numpy as np, pandas as pd
from semvideo.core import Study

here = Path(__file__).resolve().parent

def small_study(path, n=12, n_test=4, f=4, size=16, seed=0):
    "A study of n clips of noise, without fMRI."
    rng = np.random.default_rng(seed)
    ids = [f'c{i:02d}' for i in range(n)]
    split = ['train']*(n - n_test) + ['test']*n_test
    study = Study.create(
        path, 'noise', 'made in a test',
        pd.DataFrame(
            dict(clip_id=ids, split=split, segment=split, onset_s=np.arange(n)*2., duration_s=2.,
                 source='x.mp4')))
    for s in study.splits:
        with study.new_npy(f'frames/{s}.npy', (split.count(s), f, size, size, 3), np.uint8) as a:
            a[:] = rng.integers(0, 256, a.shape, dtype=np.uint8)
    study.stage('prepare', {}).finish()
    return study

def cinema_study(path, n=4, n_test=1):
    "A study of n clips of the micro-cinema (64 x 64, 8 frames), without fMRI."
    from semvideo.simulate import Clip, random_shot
    study = small_study(path, n, n_test, f=8, size=64); k = 0
    for s in study.splits:
        ids = study.clip_ids(s)
        with study.new_npy(f'frames/{s}.npy', (len(ids),8,64,64,3), np.uint8) as a:
            a[:] = np.stack([
                Clip('x', 0,
                     (random_shot(np.random.default_rng(k + i), 'any'), )).frames(np.arange(8)/4)
                for i in range(len(ids))
            ])
        k += len(ids)
    return study

@contextlib.contextmanager
def loopback(*args):
    "The server in a process of its own: yields (url, stats function, process)."
    p = subprocess.Popen(
        [sys.executable, str(here/'loopback_server.py'), *map(str, args)], stdout=subprocess.PIPE,
        text=True)
    try:
        port = p.stdout.readline().strip()
        assert port, 'the loopback server did not start'
        stats = lambda: json.loads(
            urllib.request.urlopen(f'http://127.0.0.1:{port}/stats', timeout=20).read())
        yield f'http://127.0.0.1:{port}/v1', stats, p
    finally:
        p.kill()
        p.wait()
