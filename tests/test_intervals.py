"535_intervals: calibration, exactness, refusals."
import itertools
import numpy as np, pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from semvideo.core import SemvideoError
from semvideo import stats as S
from stats_help import rng, ar

SET = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

@SET
@given(st.integers(4, 80), st.integers(1, 8), st.integers(0, 999))
def test_bootstrap_properties(n, size, seed):
    if -(-n//size) < 2: return
    x = rng(seed).normal(size=n); lo,hi = S.block_bootstrap(x, size, 300, seed)
    assert lo <= hi and x.min()-1e-9 <= lo and hi <= x.max()+1e-9
    assert (lo, hi) == S.block_bootstrap(x, size, 300, seed) # same seed, same interval
    assert np.allclose(S.block_bootstrap(x*3+1, size, 300, seed), (lo*3+1, hi*3+1)) # follows the scale
    assert (lo, hi) == S.block_bootstrap(x, np.arange(n)//size, 300, seed) # length or labels
    assert 0 < S.n_eff(x, size) <= n

def test_bootstrap_agrees_with_scipy_for_single_clips():
    from scipy.stats import bootstrap
    x = rng(0).normal(2, 1, 200)
    ref = bootstrap((x, ), np.mean, n_resamples=4000, method='percentile',
                    rng=rng(1)).confidence_interval
    assert np.allclose(S.block_bootstrap(x, 1, 4000), (ref.low, ref.high), atol=.02)

@SET
@given(st.integers(2, 12), st.integers(0, 999))
def test_sign_flip_is_exact_for_few_blocks(k, seed):
    d = rng(seed).normal(.3, 1, k*3); s = d.reshape(k, 3).sum(1)
    want = np.mean([abs(s @ f) >= abs(s.sum())-1e-12 for f in itertools.product((-1, 1), repeat=k)])
    assert S.sign_flip(d, 3) == pytest.approx(want) and S.sign_flip(d, 3) > 0

def test_sign_flip_is_calibrated():
    p = np.array([S.sign_flip(rng(i).normal(size=120), 5, 400, i) for i in range(300)])
    assert .02 < (p <= .05).mean() < .09 and p.min() > 0 and abs((p <= .5).mean()-.5) < .1

def test_p_is_never_zero():
    assert S.p_value(1e9, np.zeros(99)) == .01 and S.p_value(0, np.zeros(99)) == 1

def test_compare_knows_direction_and_refuses():
    a,b = rng(0).normal(1, .1, 60),rng(1).normal(2, .1, 60)
    assert S.compare(a, b, 5)['high'] < 0 < S.compare(a, b, 5, better='lower')['low']
    for f, says in ((lambda: S.compare(a, b[:9], 5), 'different clips'),
                    (lambda: S.block_bootstrap(a, np.arange(9)),
                     'Blocks do not fit'), (lambda: S.block_bootstrap(a, ['x']*60), 'One block'),
                    (lambda: S.block_bootstrap(np.where(a > 1, np.nan, a), 5),
                     'NaN'), (lambda: S.block_bootstrap(np.ones((3, 3)), 1), 'one number')):
        with pytest.raises(SemvideoError, match=says): f()

def test_block_length_is_that_of_arch():
    "Recorded from arch 8.0.0, optimal_block_length(x).circular."
    for n,rho,want in ((20, .5, 2.609179053), (60, 0, 1.169426207), (240, .5, 5.011876962),
                       (240, .9, 14.848461199), (1200, .97, 66.659538646), (240, -.5, 34.117163564)):
        e = rng(n).normal(size=n)
        x = e.copy()
        for i in range(1, n): x[i] = rho*x[i-1]+e[i]
        assert S.block_length(x) == pytest.approx(want, abs=1e-8)
    assert S.block_length(np.ones(50)) == 1

def test_no_pair_of_clips_reaches_over_a_cut():
    "Segments whose means differ do not make a score look slower than it is inside them."
    x = rng(0).normal(size=(3, 100))
    joined = np.concatenate([x[0], x[1], x[2]])
    labels = np.repeat(list('abc'), 100)
    mirrored = np.concatenate([x[1], x[2], x[0]]) # other neighbours at the cuts, the same inside
    assert S.block_length(joined, labels) == pytest.approx(S.block_length(mirrored, labels))

def test_interval_of_equal_stretches_is_students():
    from scipy.stats import t, ttest_1samp
    x = ar(.5, 7, 30)+.2
    got = S.mean_interval(x.ravel(), np.repeat(np.arange(7), 30))
    want = ttest_1samp(x.mean(1), 0)
    ci = want.confidence_interval(.95)
    assert np.allclose((got.low, got.high, got.p), (ci.low, ci.high, want.pvalue)) and got.pieces == 7
    assert got.n_eff == pytest.approx(x.var(ddof=1)/(x.mean(1).var(ddof=1)/7))
    assert np.isclose(got.high-got.mean, t.ppf(.975, 6)*x.mean(1).std(ddof=1)/7**.5)

@pytest.mark.parametrize('rho', [0, .5, .9, .97])
def test_intervals_over_five_segments_cover(rho):
    x = ar(rho, 600, 5*240+2000)[:, 2000:].reshape(600, 5, 240)
    x[:, 1:] = ar(rho, 600, 4, 240, seed=1) # segments know nothing of each other
    sure = [S.mean_interval(f.ravel(), np.repeat(np.arange(5), 240)) for f in x]
    cover = np.mean([i.low <= 0 <= i.high for i in sure])
    assert .925 < cover < .975
    assert abs(np.mean([i.p <= .05 for i in sure])-(1-cover)) < 1e-9
    if rho == .97: # what it replaces: blocks of ten clips
        short = [S.block_bootstrap(f.ravel(), 10, 200) for f in x[:200]]
        assert np.mean([lo <= 0 <= hi for lo,hi in short]) < .75

@pytest.mark.parametrize('rho', [0, .5, .9, .97])
@pytest.mark.parametrize('segments,clips', [(1, 120), (1, 240), (3, 80)])
def test_intervals_over_a_film_that_was_cut_cover(segments, clips, rho):
    """Fewer than five segments: each film gets an interval, and a drift that goes through all of it is in its width. Without
    that, a film of 240 clips at .9 was covered .82 where it had an interval, and mostly had none."""
    x = ar(rho, 400, 2000+clips, seed=2)[:, None, 2000:]
    x = np.concatenate([x, ar(rho, 400, segments-1, clips, seed=3)], 1)
    sure = [S.mean_interval(f.ravel(), np.repeat(np.arange(segments), clips)) for f in x]
    assert all(np.isfinite(i.low) and i.pieces >= 5 for i in sure)
    assert .92 <= np.mean([i.low <= 0 <= i.high for i in sure]) <= .98
    if rho == .97: assert 'times as wide' in sure[0].how

def test_what_cannot_be_covered_has_no_interval():
    few = S.mean_interval(rng(0).normal(size=40))
    assert np.isnan([few.low, few.high, few.p, few.n_eff]).all() and few.pieces == 0 and '40 clips' in few.how
    assert np.isnan(S.mean_interval(rng(0).normal(size=119), np.arange(119)//30).low)
    assert np.isfinite(S.mean_interval(rng(0).normal(size=120), np.arange(120)//30).low)
    c = S.compare(rng(0).normal(size=40), rng(1).normal(size=40))
    assert np.isnan(c['p']) and 'no interval' in c['how']

def test_stretches_of_several_lengths_are_cut_by_their_length():
    sizes = [300, 60, 3]
    pieces, how = S.time_pieces(ar(.9, 1, 363)[0], np.repeat([0, 1, 2], sizes))
    each = [len(set(pieces[a:b])) for a, b in ((0, 300), (300, 360), (360, 363))]
    assert each[0] > each[1] >= each[2] == 1 and sum(each) == pieces.max()+1 >= 5

def test_holm_matches_a_worked_example():
    assert np.allclose(S.holm([.01, .04, .03, .005]), [.03, .06, .06, .02])
    assert (S.holm(np.ones(4)) == 1).all()

def test_corrected():
    assert S.corrected('2-way-V', .75, .75) == 0 and S.corrected(
        '2-way-V', 1, .75) == 1 and S.corrected('EPE', 0., 2.) == 1 and S.corrected(
            'EPE', 3., 2.) == -.5 and S.corrected('PSNR', 11., 9.) == 2
