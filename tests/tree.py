"A small CC2017 tree with planted voxels, for the tests of the data rooms. Small on purpose: the miniature proper is made by `semvideo.simulate`."
from pathlib import Path
import numpy as np
from semvideo import fmri, video

def movie(path, n=480, h=48, w=64, fps=30, seed=0):
    "A moving textured film, whose speed changes from clip to clip."
    rng = np.random.default_rng(seed)
    tex = np.kron(rng.integers(0, 255, (12, 32, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    at = np.cumsum(np.repeat(rng.integers(0, 4, -(-n//60)), 60)[:n]) % (tex.shape[1] - w)
    return video.write_video(path, np.stack([tex[:h, a:a + w] for a in at]), fps)

def brain(n=300):
    "Hemisphere and vertex of n cortical vertices, left first."
    areas = fmri.mmp_labels()
    v = [np.flatnonzero(areas[h] != '')[::97][:n//2] for h in 'LR']
    return np.repeat(['L', 'R'], [len(v[0]), len(v[1])]), np.concatenate(v)

def signal(n_clips, n_vox, planted, seed):
    "What the film drives: the first `planted` voxels, (n_clips+10, n_vox)."
    s = np.random.default_rng(seed).normal(size=(n_clips + 10, n_vox)).astype('f4')
    s[:, planted:] = 0
    return s

def run(sig, volumes, seed, snr=1.):
    "One run: signal in its place after the trim, drift, noise; arbitrary units."
    rng = np.random.default_rng(seed); first = volumes - 240 - 4
    x = np.concatenate([np.zeros((first, sig.shape[1])), sig])[:volumes]
    drift = np.polynomial.polynomial.polyval(np.linspace(-1, 1, volumes), rng.normal(size=(4, sig.shape[1]))*20).T
    return (1000 + drift + 5*(np.sqrt(snr)*x + rng.normal(size=x.shape))).astype('f4')

def tree(root, subjects=(1, 2), segs=4, tests=1, test_reps=3, n_vox=300, planted=100, movies=True, top='', n_frames=14400):
    "Write the tree; returns its root."
    root = Path(root); base = root/top
    hem, ver = brain(n_vox); n_vox = len(ver)
    for kind,count,reps in (('seg', segs, 2), ('test', tests, test_reps)):
        for k in range(1, count + 1):
            name = f'{kind}{k}'
            if movies: movie(base/'stimuli'/f'{name}.mp4', n_frames, seed=hash((kind == 'test', k)) % 1000)
            sig = signal(240, n_vox, planted, [kind == 'test', k])
            for s in subjects:
                for r in range(1, reps + 1):
                    n = 246 if kind == 'test' and k > 1 else 245
                    fmri.write_run(base/f'subject{s}/fmri/{name}/cifti/{name}_{r}_Atlas.dtseries.nii', run(sig, n, [s, kind == 'test', k, r]), hem, ver, tr=2.)
    return root
