"""115_cleaning, 128_lag: a clean run ignores gain, offset and drift; volumes that do not fit are refused; a planted lag is found."""
import numpy as np
import pytest
import scipy.stats as ss
from hypothesis import given, settings, strategies as st
from semvideo import fmri
from semvideo.core import SemvideoError
from runs_help import noise


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(.5, 100), st.floats(-5000, 5000), st.integers(0, 4))
def test_clean_ignores_gain_offset_and_slow_drift(seed, gain, offset, order):
    x = noise(245, 5, seed=seed).astype(float)
    t = np.linspace(-1, 1, 245)[:, None]
    a, b = fmri.clean_run(x), fmri.clean_run(gain*(x + 3*t**order) + offset)
    assert np.abs(a - b).max() < max(5e-3, 2e-6*abs(offset)/gain)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_clean_is_the_same_for_permuted_voxels(seed):
    x = noise(246, 12, seed=seed)
    i = np.random.default_rng(seed).permutation(12)
    assert np.allclose(fmri.clean_run(x)[:, i], fmri.clean_run(x[:, i]), atol=1e-5)


def test_trim_drops_what_it_says():
    x = noise(245, 3)
    y = x.copy()
    y[0] += 1000
    y[-4:] -= 1000
    assert np.allclose(fmri.clean_run(x), fmri.clean_run(y), atol=1e-4)
    z = np.concatenate([noise(1, 3, seed=1), x])
    assert np.allclose(fmri.clean_run(z), fmri.clean_run(x), atol=1e-5)
    y[1] += 1000
    assert not np.allclose(fmri.clean_run(x), fmri.clean_run(y), atol=.1)


def test_clean_against_reference():
    from scipy.signal import detrend
    x = noise(240, 7) + 100
    a = fmri.clean_run(x, n_keep=None, poly=1)
    b = ss.zscore(detrend(x.astype(float), axis=0), 0)
    assert np.allclose(a, b, atol=1e-4) and np.allclose(
        fmri.clean_run(x, n_keep=None, poly=1, ddof=1), b*np.sqrt(239/240), atol=1e-4)


@pytest.mark.parametrize('n', [0, 240, 244, 247, 250])
def test_other_volume_counts_are_refused(n):
    with pytest.raises(SemvideoError, match='number of volumes') as e:
        fmri.clean_run(np.zeros((n, 2)), file='seg7_1')
    assert 'seg7_1' in str(e.value) and '245 or 246' in str(e.value)


def test_lag_stays_inside_the_run():
    assert fmri.trim_slice(245, lag=4) == slice(5, 245) and fmri.trim_slice(246, lag=-2) == slice(
        0, 240)
    for n,lag in ((245, 5), (245, -2)):
        with pytest.raises(SemvideoError, match='Lag'): fmri.trim_slice(n, lag=lag)


@pytest.mark.parametrize('lag', [-2, 0, 3])
def test_planted_lag_is_found(lag):
    f = noise(3, 240, seed=5)
    b = np.stack([np.roll(x, lag) for x in f])[..., None] + 3*noise(3, 240, 60)
    d = fmri.lag_profile(b, f)
    assert d.lag[d.r2.idxmax()] == lag
    with pytest.raises(SemvideoError, match='does not fit'): fmri.lag_profile(b, f[:, 1:])
