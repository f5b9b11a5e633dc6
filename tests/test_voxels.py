"""120_voxels: selection against scipy, at the stated error rate, whatever the order and units of voxels."""
import numpy as np
import pytest
import scipy.stats as ss
from hypothesis import given, settings, strategies as st
from semvideo import fmri
from semvideo.core import SemvideoError
from runs_help import noise


def test_dead_voxels_become_zero_and_are_never_selected():
    x = [noise(6, 245, 6, seed=s) + 500 for s in (1, 2)]
    for a in x:
        a[:, :, 0] = 7
        a[:, :, 1] = 0
        a[2, 3, 2] = np.nan
        a[:, 4, 3] = np.inf
        a[:, :, 4] = a[0, :, 4]*0 + 12345.678
    c = [np.stack([fmri.clean_run(r) for r in a]) for a in x]
    assert all(
        np.isfinite(a).all() and (a[:, :, [0, 1, 3, 4]] == 0).all() and (a[2, :, 2] == 0).all()
        for a in c)
    assert fmri.clean_rows(np.ascontiguousarray(
        x[0][0].T))[1].tolist() == [True, True, False, True, True, False]
    r = fmri.repeat_reliability(*c)
    assert np.isnan(r[:5]).all() and np.isfinite(r[5])
    assert set(fmri.select_voxels(*c, method='all').grayordinate) == {5}


def test_against_scipy():
    a = noise(9, 60, 200); b = a*.3 + noise(9, 60, 200, seed=1)
    r = fmri.segment_correlations(a, b)
    want = np.array([[ss.pearsonr(a[s, :, v], b[s, :, v]).statistic
                      for v in range(20)]
                     for s in range(9)])
    assert np.allclose(r[:, :20], want, atol=1e-5)
    for tail in ('greater', 'two-sided'):
        t,p = fmri.t_test(r, tail)
        w = ss.ttest_1samp(np.arctanh(r.astype(float)), 0, alternative=tail)
        assert np.allclose(t, w.statistic) and np.allclose(p, w.pvalue, rtol=1e-6)
        assert (fmri.keep(p, t, .05, 'fdr') == (ss.false_discovery_control(p) <= .05)).all()
        assert (fmri.keep(p, t, .05, 'bonferroni') == (p*200 < .05)).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_selection_does_not_depend_on_the_order_or_the_units_of_voxels(seed):
    rng = np.random.default_rng(seed)
    raw = [noise(6, 245, 40, seed=(seed, k)) for k in (1, 2)]
    film = noise(6, 245, 12, seed=(seed, 3))
    for x in raw: x[:, :, :12] += film
    gain, offset, i = rng.uniform(.1, 50, 40).astype('f4'), rng.uniform(
        -100, 2000, 40).astype('f4'), rng.permutation(40)
    a, b = ([np.stack([fmri.clean_run(r)
                       for r in rep])
             for rep in reps]
            for reps in (raw, [(x*gain + offset)[:, :, i] for x in raw]))
    s, t = (fmri.select_voxels(*c, method='topk', k=12, blocks=3) for c in (a, b))
    assert set(s.grayordinate) == set(range(12)) == set(i[t.grayordinate])
    assert np.allclose(
        s.set_index('grayordinate').reliability.sort_index(),
        t.assign(g=i[t.grayordinate]).set_index('g').reliability.sort_index(), atol=2e-3)


def test_topk_breaks_ties_by_reliability_and_two_sided_keeps_the_opposite():
    p = np.array([1e-9, 1e-9, .5, np.nan, 1e-9])
    assert np.flatnonzero(fmri.keep(p, np.array([.2, .9, .1, 1, .5]), method='topk',
                                    k=2)).tolist() == [1, 4]
    a = noise(18, 100, 3)
    b = a*np.array([1, -1, 0], 'f4') + noise(18, 100, 3, seed=1)
    assert fmri.select_voxels(a, b).grayordinate.tolist() == [0] and fmri.select_voxels(
        a, b, tail='two-sided').grayordinate.tolist() == [0, 1]


def test_planted_voxels_at_the_stated_error_rate():
    "Autocorrelated noise, as BOLD has: the test is over segments, so its level holds."
    V, planted = 3000, 300; rng = np.random.default_rng(3)
    def rep():
        e = rng.normal(size=(18, 240, V)).astype('f4')
        for t in range(1, 240): e[:, t] += .6*e[:, t - 1]
        return e
    film = rng.normal(size=(18, 240, planted)).astype('f4')
    reps = [rep() for _ in range(2)]
    for x in reps: x[:, :, :planted] += film
    un = fmri.select_voxels(*reps, method='uncorrected').grayordinate
    rate = (un >= planted).sum()/(V - planted)
    assert abs(rate - .05) < 3*np.sqrt(.05*.95/(V - planted)) + .005
    bf = fmri.select_voxels(*reps).grayordinate
    assert (bf < planted).sum() >= .98*planted and (bf >= planted).sum() <= 2
    fd = fmri.select_voxels(*reps, method='fdr').grayordinate
    assert (fd >= planted).mean() < .08


@pytest.mark.parametrize('kw,says', [(dict(method='best'), 'Unknown selection'), (dict(method='topk'), 'needs k'), (dict(method='topk', k=10**6), 'needs k'), (dict(tail='less'), 'Unknown tail')])
def test_wrong_settings(kw, says):
    with pytest.raises(SemvideoError, match=says):
        fmri.select_voxels(noise(4, 30, 5), noise(4, 30, 5, seed=1), **kw)


def test_one_segment_cannot_be_tested_but_can_be_cut():
    a = noise(1, 240, 4); b = a + noise(1, 240, 4, seed=1)
    with pytest.raises(SemvideoError, match='at least two'): fmri.select_voxels(a, b)
    assert len(fmri.select_voxels(a, b, blocks=12)) == 4
    with pytest.raises(SemvideoError, match='differ in shape'):
        fmri.repeat_reliability(a, b[:, :100])
