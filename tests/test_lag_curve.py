"""618_lag_curve: the curve peaks where the blood flow was planted, as the noiseless brain says it must, and nowhere for decoders that learned from other clips."""
import functools

import numpy as np
from semvideo.agreement import agreement_matrix, far_apart, null_readouts
from semvideo.brain import MiniatureConfig, film_features, noise, noiseless_bold, subject_vertices, tuning
from semvideo.lag_curve import LAG_STEPS, lag_products, lag_table, lagged_rows
from semvideo.simulate import write_film

N = 120


@functools.lru_cache(maxsize=2)
def film(split):
    f = film_features(write_film('lag', 0 if split == 'test' else 1, split, N))
    return f, f['motion'].reshape(N, 8, -1).mean(1)


def brain(peak_s, clean=False, every=12):
    "(train fMRI, test fMRI, table of vertices): the miniature's brain, with its blood flow at `peak_s`, a volume a clip."
    cfg = MiniatureConfig(hrf_peak_s=peak_s)
    voxels = subject_vertices(1, cfg).iloc[::every].reset_index(drop=True)
    weights, out = tuning(voxels, 1, cfg), []
    for k, split in enumerate(('train', 'test')):
        bold = noiseless_bold(film(split)[0], weights, N + 2, cfg)[2:] # kept volume k falls at 5 + 2k, as in CC2017
        bold = bold/np.maximum(bold.std(0), 1e-9)*(bold.std(0) > 1e-9)
        if not clean: bold = bold + 1.2*noise(np.random.default_rng(k), N, voxels.parcel.to_numpy(str), cfg)
        out.append(bold)
    return (*out, voxels)


def curve(peak_s, wrong=False, clean=False, draws=39):
    x, test, voxels = brain(peak_s, clean)
    y, target = (film(s)[1] for s in ('train', 'test'))
    z = lambda a: (a - x.mean(0))/np.maximum(x.std(0), 1e-9)
    learned = np.roll(y, 50, 0) if wrong else y
    decoded = target if clean else z(test) @ np.linalg.solve(z(x).T @ z(x) + 500*np.eye(x.shape[1]), z(x).T @ (learned - y.mean(0)))
    segments, onsets, rows = np.zeros(N), 2.*np.arange(N), np.arange(N)
    p = lag_products(test, voxels, segments, onsets, rows, far_apart(segments, onsets))
    nulls = [p.means(m) for m in null_readouts(x, test, y, target, segments, draws, 0)]
    return lag_table(p, agreement_matrix(decoded, target), nulls)


def of(table, group='motion areas'): return table[table.group == group].set_index('lag_s')


def test_the_curve_follows_the_planted_blood_flow():
    """The decoder reads 4 s behind the middle of a clip, and that is where the curve of blood flow planted at 4 s peaks; later
    blood flow moves it, as the noiseless brain says."""
    centres = []
    for peak_s in (2., 4., 6., 8.):
        t, expected = of(curve(peak_s)), of(curve(peak_s, clean=True, draws=2))
        assert np.corrcoef(t['mean'], expected['mean'])[0, 1] > (.95 if peak_s == 4 else .8)
        kept = t['mean'].clip(lower=0)
        centres.append(float((kept*t.index).sum()/kept.sum()))
        if peak_s in (4., 6.):
            assert t.index[t.peak].item() == expected.index[expected.peak].item() == peak_s - 4
            assert t.p[t.peak].item() <= .05
    assert (np.diff(centres) > .5).all()


def test_a_decoder_that_learned_from_other_clips_has_no_curve():
    assert (curve(4., wrong=True).p > .05).all()


def test_at_lag_zero_the_curve_is_the_map():
    from semvideo.agreement import agreement
    from semvideo.cortex import AREA_GROUPS
    x, test, voxels = brain(4.)
    target = film('test')[1]
    segments, onsets, rows = np.zeros(N), 2.*np.arange(N), np.arange(0, N, 2)
    far = far_apart(segments[rows], onsets[rows])
    p = lag_products(test[rows], voxels, segments[rows], onsets[rows], np.arange(len(rows)), far, steps=(0,))
    m = agreement_matrix(target[rows] + 1, target[rows])
    s = agreement(test[rows], target[rows] + 1, target[rows], far)
    means = [s[voxels.parcel.isin(a)].mean() for a in AREA_GROUPS.values()]
    assert np.allclose(p.means(m)[:, 0], means, rtol=1e-3)


def test_rows_a_lag_away_stay_in_their_segment():
    segments = np.repeat(['a', 'b'], 5)
    onsets = np.tile(2.*np.arange(5), 2)
    rows = np.array([0, 3, 4, 7])
    for step in LAG_STEPS:
        to = lagged_rows(segments, onsets, rows, step)
        for r, k in zip(rows, to):
            if k >= 0: assert segments[k] == segments[r] and onsets[k] - onsets[r] == 2*step
            else: assert not 0 <= onsets[r] + 2*step <= 8
