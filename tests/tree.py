"""Small CC2017, HCP and own-data trees with planted voxels, for the tests of the data rooms.
The miniature proper is made by `semvideo.simulate`."""
from pathlib import Path
import numpy as np
from semvideo import fmri, video

FPS = 4  # frames a second of the test movies: 8 a clip of 2 s

def film(n, seed=0, h=24, w=32):
    "A moving textured film that is different everywhere: uint8 (n,h,w,3)."
    rng = np.random.default_rng(seed)
    tex = np.kron(rng.integers(0, 255, (h//4, 400, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    at = np.cumsum(rng.integers(0, 12, n)) % (tex.shape[1] - w)
    return np.stack([tex[:, a:a + w] for a in at])

def brain(n=120):
    """Hemisphere and vertex of about n labelled cortical vertices, left first, spread over the cortex."""
    v = [
        f[::len(f) // (n // 2)][:n // 2]
        for f in (np.flatnonzero(fmri.mmp_labels()[h] != '') for h in 'LR')
    ]
    return np.repeat(['L', 'R'], [len(v[0]), len(v[1])]), np.concatenate(v)

def signal(n, n_vox, planted, seed):
    "What the film drives: the first `planted` voxels, (n, n_vox)."
    s = np.random.default_rng(seed).normal(size=(n, n_vox)).astype('f4')
    s[:, planted:] = 0
    return s

def scan(sig, seed, snr=1.):
    "A run that holds `sig`: drift, noise, arbitrary units; (T,V)."
    rng = np.random.default_rng(seed); T = len(sig)
    drift = np.polynomial.polynomial.polyval(np.linspace(-1, 1, T),
                                             rng.normal(size=(4, sig.shape[1]))*20).T
    return (1000 + drift + 5*(np.sqrt(snr)*sig + rng.normal(size=sig.shape))).astype('f4')

def run_path(base, s, name, r):
    return Path(base)/f'subject{s}/fmri/{name}/cifti/{name}_{r}_Atlas.dtseries.nii'

def cc2017(root, subjects=(1,), segs=3, tests=2, test_reps=3, n_vox=120, planted=40, top='', films=True):
    "A CC2017 tree with fewer segments, repeats and vertices; subjects differ in noise."
    base = Path(root)/top; hem, ver = brain(n_vox)
    for kind,count,reps in (('seg', segs, 2), ('test', tests, test_reps)):
        for k in range(1, count + 1):
            name, code = f'{kind}{k}', (kind == 'test')*100 + k
            if films:
                video.write_video(base/'stimuli'/f'{name}.mp4', film(480*FPS, code), FPS)
            T = 246 if kind == 'test' and k > 1 else 245
            sig = signal(246, len(ver), planted, code)[246 - T:]
            for s in subjects:
                for r in range(1, reps + 1):
                    fmri.write_run(run_path(base, s, name, r), scan(sig, [s, code, r]), hem, ver,
                                   tr=2.)
    return Path(root)

def hcp_brain(per_area=4):
    "A few vertices of the twelve visual areas and of two others."
    names = fmri.mmp_labels(); areas = fmri.VISUAL_AREAS + ('A1', '4')
    v = {
        h: np.sort(np.concatenate([np.flatnonzero(names[h] == a)[:per_area]
                                   for a in areas]))
        for h in 'LR'
    }
    return np.repeat(['L', 'R'], [len(v['L']), len(v['R'])]), np.concatenate([v['L'], v['R']])

def hcp(root, subjects=(100610, ), per_area=4, suffix='_MSMAll_hp2000_clean',
        version='Pre_20140821_version', tail='', fps=2):
    """An HCP 7T movie tree: four movies that end with the same montage, few vertices of the twelve areas
    and some others."""
    from semvideo import datasets as D
    root = Path(root); hem, ver = hcp_brain(per_area)
    montage = film(76*fps, 99)
    for m,clips in D.HCP_CLIPS.items():
        end = clips[-1][1]
        x = film((end + 4)*fps, m)
        x[clips[-1][0]*fps:end*fps] = montage
        video.write_video(root/version/f'7T_MOVIE{m}_{D.HCP_MOVIE[m]}{tail}.mp4', x, fps)
        for s in subjects:
            sig = signal(end + 20, len(ver), len(ver), [s, m])
            fmri.write_run(
                root/str(s)/'MNINonLinear/Results'/D.HCP_RUN[m]/
                f'{D.HCP_RUN[m]}_Atlas{suffix}.dtseries.nii', scan(sig, [s, m, 1]), hem, ver, tr=1.)
    return root
