"""127_repeats: noise ceilings are unbiased, and no model beats them."""
import numpy as np
import pytest
from semvideo import fmri
from semvideo.core import SemvideoError
from runs_help import noise


def test_explainable_variance_is_unbiased_with_missing_repeats():
    rng = np.random.default_rng(0); ev = np.repeat([0, .1, .5], 300)
    x = np.sqrt(ev)*rng.normal(size=(300, 1, 900)) + np.sqrt(1 - ev)*rng.normal(size=(300, 6, 900))
    x[:100, 2] = np.nan
    x[50:80, 4] = np.nan
    x[0, 1:] = np.nan
    got = fmri.explainable_variance(x).reshape(3, 300).mean(1)
    assert np.allclose(got, [0, .1, .5], atol=.01)
    for bad in (x[:, :1], x[:2]):
        with pytest.raises(SemvideoError, match='needs repeats'):
            fmri.explainable_variance(bad)


def test_ceilings_of_a_memory_map_in_blocks(tmp_path):
    x = noise(60, 4, 70)
    x[5, 2] = np.nan
    np.save(tmp_path/'x.npy', x)
    m = np.load(tmp_path/'x.npy', mmap_mode='r')
    whole = fmri.signal_power(x, block=10**6)
    assert all(np.allclose(a, b, atol=1e-12) for a,b in zip(whole, fmri.signal_power(m, block=16)))
    assert np.array_equal(fmri.explainable_variance(m), fmri.explainable_variance(x))


def test_repeat_curve_of_planted_voxels_and_missing_repeats(tmp_path):
    rng = np.random.default_rng(2)
    ev = .3
    x = (np.sqrt(ev)*rng.normal(size=(400, 1, 60)) +
         np.sqrt(1 - ev)*rng.normal(size=(400, 10, 60))).astype('f4')
    sb = lambda n: np.sqrt(n*ev/(1 + (n - 1)*ev))
    c = fmri.repeat_curve(x, block=25).set_index('n')
    assert list(c.index) == list(range(1, 11)) and c.ceiling.is_monotonic_increasing
    assert np.allclose(c.ceiling, [sb(n) for n in c.index], atol=.02) and np.allclose(
        c.measured[:9], [sb(n)*sb(10 - n)
                         for n in range(1, 10)], atol=.02) and np.isnan(c.measured[10])
    np.save(tmp_path/'x.npy', x)
    assert fmri.repeat_curve(np.load(tmp_path/'x.npy',
                                     mmap_mode='r')).equals(fmri.repeat_curve(x, block=10**6))
    x[:80, 8] = np.nan
    assert np.allclose(fmri.repeat_curve(x).ceiling, c.ceiling, atol=.02)


def test_no_model_beats_the_ceiling():
    rng = np.random.default_rng(1)
    s = rng.normal(size=(4000, 1, 20))
    x = s + 2*rng.normal(size=(4000, 5, 20))
    r = [np.corrcoef(s[:, 0, v], x[:, :, v].mean(1))[0, 1] for v in range(20)]
    assert np.allclose(fmri.noise_ceiling(x), r,
                       atol=.05) and abs(np.mean(fmri.noise_ceiling(x)) - np.mean(r)) < .015
