"""Statistics: calibration, exactness, refusals; scoring of folders as others leave them; the trust card."""
import itertools, json
import numpy as np, pandas as pd, pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from semvideo.core import SemvideoError, Study, read_json
from semvideo import metrics as M, stats as S
from semvideo.fmri import spearman_brown

SET = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def rng(*s): return np.random.default_rng(s)

def discs(n, f=6, size=24, seed=0, move=True):
    """Discs that move over textures in four directions, and a system that got the motion and most
    colours."""
    r = rng(seed)
    yy,xx = np.mgrid[:size, :size]
    hues = [(220, 50, 40), (50, 90, 220), (60, 200, 70), (230, 210, 50)]
    t = []
    for i in range(n):
        h,(dx,dy) = hues[r.integers(4)],[(2, 0), (-2, 0), (0, 2), (0, -2)][r.integers(4)]
        bg = r.integers(40, 160, (3, 3, 3), dtype=np.uint8).repeat(size//3, 0).repeat(size//3, 1)
        c = np.repeat(bg[None], f, 0)
        for k in range(f):
            c[k][(yy-size/2-dy*(k-f/2)*move)**2+(xx-size/2-dx*(k-f/2)*move)**2 < 30] = h
        t.append(c)
    return np.stack(t)

def noisy(x, sd=25, seed=1):
    return np.clip(x+rng(seed).normal(0, sd, x.shape), 0, 255).astype(np.uint8)

# ---- published ---------------------------------------------------------------------------------------------

def test_published_tables_are_the_papers():
    assert S.published('cc2017').set_index('method').loc['SemVideo'][list(
        M.TEN)].tolist() == [.838, .865, .225, .264, .608, .321, 9.448, .849, .526, 4.788]
    assert S.published('hcp').set_index('method').loc['SemVideo', 'EPE'] == 4.05 and len(
        S.published('mllm')) == 3 and len(S.published('captions')) == 22
    a,m = S.published('ablation').iloc[0],S.published('mllm').iloc[0]
    assert all(a[c] == m[c] for c in M.TEN) # the full row of the ablation is the Video-LLaMA row
    with pytest.raises(SemvideoError, match='cc2017'): S.published('cc')

# ---- intervals and tests -----------------------------------------------------------------------------------

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

def ar(rho, *shape, seed=0):
    "Films of autocorrelated scores of mean 0 and variance 1, the last axis is time."
    e = rng(seed, int(100*rho)).normal(size=shape)
    x = e.copy()
    for i in range(1, shape[-1]): x[..., i] = rho*x[..., i-1]+np.sqrt(1-rho*rho)*e[..., i]
    return x

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

def test_what_cannot_be_covered_has_no_interval():
    slow = [S.mean_interval(f) for f in ar(.97, 100, 240)]
    assert np.mean([np.isnan(i.low) for i in slow]) > .9
    few = S.mean_interval(rng(0).normal(size=40))
    assert np.isnan([few.low, few.high, few.p, few.n_eff]).all() and few.pieces == 0 and '40 clips' in few.how
    quick = [S.mean_interval(f) for f in ar(0, 100, 240)]
    assert not np.isnan([i.low for i in quick]).any()
    # three short segments of long memory are not enough either; five whole ones are
    assert np.isnan(S.mean_interval(ar(.97, 1, 3, 80)[0].ravel(), np.repeat([0, 1, 2], 80)).low)
    c = S.compare(rng(0).normal(size=40), rng(1).normal(size=40))
    assert np.isnan(c['p']) and 'no interval' in c['how']

def test_a_table_that_cannot_be_covered_licenses_nothing_and_says_so(scored):
    t,r,tr,lad = scored
    c = S.card(lad, None, shuffle=S.shuffle_test(r, t, swaps=2))
    claims = {x['check']: x for x in c.checks if x['kind'] == 'claim'}
    assert not c.licensed and 'cannot be told, no interval' in claims['motion']['says']
    assert 'Cannot be told' in claims['order of frames']['says'] and c.metrics.low.isna().all()
    assert next(x for x in c.checks if x['check'] == 'intervals')['ok'] is None

def test_holm_matches_a_worked_example():
    assert np.allclose(S.holm([.01, .04, .03, .005]), [.03, .06, .06, .02])
    assert (S.holm(np.ones(4)) == 1).all()

def test_corrected():
    assert S.corrected('2-way-V', .75, .75) == 0 and S.corrected(
        '2-way-V', 1, .75) == 1 and S.corrected('EPE', 0., 2.) == 1 and S.corrected(
            'EPE', 3., 2.) == -.5 and S.corrected('PSNR', 11., 9.) == 2

# ---- nulls and ladder --------------------------------------------------------------------------------------

def test_nulls_are_what_they_say():
    r,tr = discs(12),discs(20, seed=3); n = S.nulls(r, tr, np.repeat([0, 1], 6))
    assert all(v.shape == r.shape and v.dtype == np.uint8 for v in n.values())
    assert (n['mean image']
            == n['mean image'][:1, :1]).all() and abs(n['mean video'][0].astype(float) -
                                                      tr.mean(0)).max() <= .5
    assert (n['frozen first frame'] == r[:, :1]).all()
    assert not any(np.array_equal(a, b) for a, b in zip(n['shuffled fMRI'], r)) and sorted(
        map(hash, (v.tobytes()
                   for v in n['shuffled fMRI']))) == sorted(map(hash, (v.tobytes() for v in r)))
    assert all(np.array_equal(n['shifted fMRI'][i], r[(i + 3) % 6]) for i in range(6)) and all(
        np.array_equal(n['shifted fMRI'][6 + i], r[6 + (i + 3) % 6]) for i in range(6))
    assert all(any(np.array_equal(v, t) for t in tr) for v in n['random training clip'])
    lazy = S.nulls(r, tr, np.repeat([0, 1], 6), lazy=True)
    assert list(lazy) == list(n) and all((lazy[k]() == n[k]).all() for k in reversed(n)) # in any order
    with pytest.raises(SemvideoError, match='differ in shape'): S.nulls(r, tr[:, :3])

@pytest.fixture(scope='module')
def scored():
    t = discs(24)
    r = noisy(t)
    tr = discs(30, seed=5)
    return t, r, tr, S.ladder(r, t, S.nulls(r, tr), {'truth': t}, models=None)

def test_ladder_orders_a_good_system(scored):
    t,r,tr,lad = scored
    g = S.rungs(lad, 3).set_index(['metric', 'variant', 'system'])
    assert list(lad) == [
        'system', 'rung', 'clip_id', 'metric', 'variant', 'value', 'chance', 'unit'
    ] and lad.notna().all().all()
    for m in ('SSIM', 'PSNR', 'Flow-correlation'):
        assert g.loc[(m, 'strict', 'mean image'),
                     'above'] and g.loc[(m, 'strict', 'shuffled fMRI'),
                                        'above'] and not g.loc[(m, 'strict', 'truth'), 'above']
    assert (g.p > 0).all() and (g.p_holm >= g.p-1e-12).all()

# ---- shuffle test ------------------------------------------------------------------------------------------

@pytest.mark.parametrize('F', [3, 4, 5])
def test_shuffle_test_is_exact(F):
    "Every order measured anew, flow and all, gives the same p."
    t = discs(2, F, seed=F)
    r = noisy(t, 10)
    got = S.shuffle_test(r, t)
    for i in range(2):
        orders = [list(o) for o in itertools.permutations(range(F))]
        e = np.array([M.flow_table(r[i:i+1, o], t[i:i+1])[0] for o in orders])
        assert got.epe[i] == pytest.approx(e[0, 0], rel=1e-5)
        assert got.p[i] == pytest.approx(
            (e[:, 0] <= e[0, 0]*(1 + 1e-6)).mean()) and got.p_direction[i] == pytest.approx(
                (e[:, 2] >= e[0, 2] - 1e-6).mean(), abs=1e-9)

def test_shuffle_test_sampled_agrees_with_exact():
    t = discs(4, 7, seed=2)
    tabs = [S.shuffle_table(a, b) for a,b in zip(noisy(t, 60), t)]
    exact = S.shuffle_p(tabs)[1]
    perms,is_exact = S.frame_orders(8, 5000, 0)
    assert is_exact is False
    perms,_ = S.frame_orders(7, 100_000, 0)
    assert len(perms) == 5039
    code = [rng(0).permuted(np.broadcast_to(np.arange(7), (20_000, 7)), axis=1)]
    code = [code[0][:, i].astype(np.intp)*7+code[0][:, i+1] for i in range(6)]
    for i in range(4):
        assert S.order_p(tabs[i], code, False, i)[1] == pytest.approx(exact[i], abs=.02)

def test_shuffle_test_null_and_no_motion():
    t = discs(30, 5, seed=7)
    free = np.stack([c[rng(i).permutation(5)] for i,c in enumerate(t)])
    p = S.shuffle_test(free, t).p_direction
    assert p.min() > 0 and .3 < p.mean() < .75 # random orders: no evidence
    still = t[:, :1].repeat(5, 1)
    s = S.shuffle_test(still, t)
    assert (s.p == 1).all() and (s.p_direction == 1).all()
    assert not S.shuffle_test(t, still).moving.any()
    with pytest.raises(SemvideoError, match='Too few frames'):
        S.shuffle_test(t[:, :2], t[:, :2])

def test_order_of_clips_does_not_matter():
    t = discs(5, 9, seed=1)
    r = noisy(t)
    a = S.shuffle_test(r, t, 500, clip_ids=list('abcde'))
    assert a.equals(S.shuffle_test(r, t, 500, clip_ids=list('abcde')))

def test_counterfactuals():
    t = discs(16, seed=4)
    c = S.counterfactuals(noisy(t, 10), t, 2).set_index('motion')
    assert (c.low.iloc[1:]
            > 0).all() and c.loc['reversed',
                                 'flow_correlation'] < -.3 and c.loc['frozen',
                                                                     'flow_correlation'] == 0

def test_swapped_share_is_that_of_other_clips():
    "Each truth against the reconstructions that `pairings` gives it, tested one by one."
    t = discs(6, 5, seed=3)
    r = noisy(t, 30)
    got = S.shuffle_test(r, t, swaps=2).swapped
    want = np.zeros(6)
    for pairing in S.pairings(6, 2): # reconstruction i meets truth pairing[i]
        p = S.shuffle_test(r, t[pairing]).p_direction.to_numpy()
        want[pairing] += (p <= .05)/2
    assert np.allclose(got, want) and want.any()

@pytest.mark.slow
def test_order_of_frames_is_not_licensed_by_what_moves():
    "200 films of clips that all move: shuffled, shifted, drifting alike, wrong, backwards; licensed where decoded."
    n, pieces = 120, 10
    t = discs(n, 5, 24, seed=8)
    way = np.roll(t, 1, 0) # any moving film
    ks = (*range(5, 25), *range(65, 85))
    tables = [S.shuffle_table(way[i], t[i], None, [t[(i+k) % n] for k in ks]) for i in range(n)]
    under = S.swapped_p(tables).T <= .05 # offset, reconstruction
    licensed = dict(shuffled=[], shifted=[])
    for seed in range(200):
        r = rng(seed)
        for kind in licensed:
            own = np.full(n, r.integers(len(ks))) if kind == 'shifted' else r.integers(len(ks), size=n)
            others = np.mean([under[r.integers(len(ks), size=n), np.arange(n)] for _ in range(4)], 0)
            table = pd.DataFrame(dict(moving=True, p=.01, swapped=others,
                                      p_direction=np.where(under[own, np.arange(n)], .01, .9)))
            licensed[kind].append(S.shuffle_check(table, pieces)['ok'])
    assert under.mean() > .1 # far over 5 %: what a binomial test took for decoded order
    assert max(map(np.mean, licensed.values())) <= .05
    check = lambda video: S.shuffle_check(S.shuffle_test(video, t), pieces)['ok']
    assert check(noisy(t, 10)) is True
    drift = np.repeat(t[:1], n, 0) # one and the same moving clip
    assert [check(v) for v in (way, t[:, ::-1], drift)] == [False]*3
    assert S.shuffle_check(S.shuffle_test(noisy(t, 10), t).drop(columns='swapped'))['ok'] is None

# ---- spurious reconstruction -------------------------------------------------------------------------------

def test_diagnostics_tell_classification_from_reconstruction():
    r = rng(0)
    k = r.normal(size=(8, 30))*3
    lab = r.integers(0, 8, 160)
    f = k[lab]+r.normal(size=(160, 30))
    tr = k[r.integers(0, 8, 200)]+r.normal(size=(200, 30))
    a, b = S.diagnostics(f + r.normal(size=f.shape)*.7, f, tr, 10,
                         8), S.diagnostics(k[lab] + r.normal(size=f.shape)*.05, f, tr, 10, 8)
    assert a['within'] > .8 > .65 > b['within'] and b['across'] > .95 and b['rank_predicted'] < a[
        'rank_predicted']
    assert b['all'] == pytest.approx(b['classification_alone'], abs=.05)

def test_rank_span_distance():
    x = rng(0).normal(size=(50, 3)) @ rng(1).normal(size=(3, 20))
    assert S.effective_rank(x) <= 3+1e-9 and S.outside_span(x[:10], x) < 1e-9
    assert S.outside_span(rng(2).normal(size=(10, 20)), x) > .5
    d = rng(3).random(100)
    assert S.distance_slope(-d, d, 5)['high'] < -.9
    assert (S.nearest_distance(x[:5], x) < 1e-9).all()

def test_held_out_clusters_are_held_out():
    tr,te = rng(0).normal(size=(60, 5)),rng(1).normal(size=(20, 5))
    parts = S.held_out_cluster(tr, te, 4)
    c = S.clusters(np.concatenate([tr, te]), 4)
    assert sorted(np.concatenate([i for i,_ in parts])) == list(range(20))
    for i,keep in parts: assert not set(c[60+i]) & set(c[keep])

def test_repeat_curve_and_ceilings():
    s = rng(0).normal(size=(40, 30))
    x = s[:, None]+rng(1).normal(size=(40, 6, 30))*4
    x[3, 2] = np.nan
    c = S.score_by_repeats(x, lambda v: M.identification(v, s), 4, (1, 6))
    assert c.value.iloc[1] > c.value.iloc[0] and (c.low <= c.value).all()
    assert spearman_brown(.5, 1) == .5 and spearman_brown(.5, 2) == pytest.approx(2/3) and np.isnan(
        S.ceiling_scaled(.5, .5, .5))

# ---- trust card --------------------------------------------------------------------------------------------

def test_card_licenses_and_refuses(scored):
    t,r,tr,lad = scored
    c = S.card(lad, 3, shuffle=S.shuffle_test(r, t))
    ok = {x['check']: x['ok'] for x in c.checks}
    assert ok['motion'] and ok['pixel fidelity'] and ok['order of frames'] and ok[
        'smoothness'] is False and ok['meaning of frames'] is None
    n = S.nulls(r, tr)
    b = S.card(S.ladder(n.pop('mean image'), t, n, models=None), 3)
    says = {x['check']: x['says'] for x in b.checks}
    assert not {
        x['check']: x['ok']
        for x in b.checks
    }['motion'] and 'no claim of decoded motion' in says['motion']
    s = S.card(S.ladder(S.nulls(r, tr, seed=9)['shuffled fMRI'], t, S.nulls(r, tr), models=None), 3)
    assert 'motion' not in s.licensed and 'pixel fidelity' not in s.licensed

def test_the_card_says_what_stands_above_and_what_epe_rewards(scored):
    t,r,tr,lad = scored
    mean = S.nulls(r, tr)['mean image']
    systems = S.nulls(r, tr)|{'random training clip': noisy(t, 1)} # a null that beats us
    c = S.card(S.ladder(noisy(r, 60), t, systems, models=None), 3)
    m = c.metrics.set_index('metric')
    assert 'random training clip' in m.loc['SSIM', 'nulls_above'] and 'random training clip' in c.to_html()
    says = next(x['says'] for x in c.checks if x['check'] == 'motion')
    rows = c.rungs[(c.rungs.metric == 'EPE') & (c.rungs.system == 'frozen first frame')].iloc[0]
    assert f'{rows.difference:+.3g}' in says and 'EPE rewards not moving' in says and 'Flow-correlation' in says
    still = S.card(S.ladder(mean, t, {'copy': mean}, models=None), 3)
    assert 'EPE' not in next(x['says'] for x in still.checks if x['check'] == 'motion').split(':')[-1]

def test_two_equal_systems_are_rarely_called_more_than_a_simple_decoder():
    "20 metrics, 200 runs of two systems of the same law: better somewhere by luck is not better."
    ok = []
    for seed in range(200):
        rows = [dict(system='ridge', metric=f'm{i}', variant='', **S.compare(*ar(.3, 2, 200, seed=(seed*20+i)), 20))
                for i in range(20)]
        ok.append(S.baseline_check(pd.DataFrame(rows))['ok'])
    assert np.mean(ok) <= .05

def test_card_writes_page_and_json(scored, tmp_path):
    c = S.card(scored[3], 3, 'A <run>')
    p = c.save(tmp_path)
    d = read_json(tmp_path/'trust.json')
    page = p.read_text()
    assert '&lt;run&gt;' in page and 'http' not in page and d['metrics'] and all(
        k in d['metrics'][0]
        for k in ('value', 'chance', 'corrected', 'rank', 'low', 'high', 'n_eff'))
    json.dumps(d, allow_nan=False)

def test_the_page_of_a_card_to_the_letter():
    "Templates are written in lines, the page has none; what came from outside is escaped."
    checks = [
        dict(kind='claim', check='motion', ok=True, says="more than 'x' & <y>"),
        dict(kind='claim', check='colour', ok=False, says='no'),
        dict(kind='data', check='seeds', ok=None, says='?')
    ]
    values = pd.DataFrame([
        dict(metric='SSIM', variant='strict', unit='', value=.25, low=.001, high=np.nan, n=3,
             chance=0., rank='1 of 2')
    ])
    c = S.TrustCard('A <run>', checks, values, pd.DataFrame(), dict(a=['"', 1.5]))
    head = ''.join(f'<th>{h}</th>' for h in ('metric', 'variant', 'value', 'low', 'high', 'chance',
                                             'rank', 'n', 'unit'))
    body = (
        '<h1>A &lt;run&gt;</h1><h2>What may be claimed</h2><ul><li><b class=yes>yes</b> '
        '<b>motion</b>: more than &#x27;x&#x27; &amp; &lt;y&gt;</li>'
        '<li><b class=no>no</b> <b>colour</b>: no</li></ul><h2>What it rests on</h2><ul><li><b '
        'class=q>not known</b> <b>seeds</b>: ?</li></ul><h2>Every value beside its '
        'chance</h2>'
        f'<table><tr>{head}</tr><tr><td class=l>SSIM</td><td class=l>strict</td><td>0.250</td><td>0.001</td><td></td><td>0.000</td><td '
        f'class=l>1 of 2</td><td>3</td><td class=l></td></tr></table>'
        '<h2>The ladder</h2><p>Difference is paired over clips and positive where '
        'the reconstruction is better; interval and p are by t over independent pieces of time, '
        'empty where there are too few; p is Holm-adjusted over this table.</p>'
        '<p>nothing measured</p><h2>Facts</h2><pre>{\n &quot;a&quot;: [\n  &quot;\\&quot;&quot;,\n '
        ' 1.5\n ]\n}</pre>')
    assert c.to_html(body=True) == body and c.to_html().endswith(
        f'td.l{{text-align:left}}.no{{color:#a3161b}}.yes{{color:#146c2e}}.q{{color:#6b7280}}li{{margin:.25rem 0}}</style><body>{body}</body></html>'
    )
    assert c.to_html().startswith(
        '<!doctype html><html lang=en><meta charset=utf-8><title>A &lt;run&gt;</title><style>body{font:15px/1.5 '
        'system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}table{')

def test_trust_card_of_a_study(scored, tmp_path):
    t,r,tr,lad = scored; ids = [f'{i:04d}' for i in range(24)]
    st_ = Study.create(
        tmp_path/'s', 'toy', 'discs',
        pd.DataFrame(
            dict(clip_id=ids, split='test', segment='test1', onset_s=np.arange(24)*2.,
                 duration_s=2., source='x')), {})
    with pytest.raises(SemvideoError, match='Not evaluated'): S.trust_card(st_, 1)
    (st_.path/'evaluate/sub-1').mkdir(parents=True)
    lad[lad.system != 'truth'].drop(columns='rung').to_csv(st_.path/'evaluate/sub-1/clips.csv',
                                                           index=False)
    st_.log('reads', split='test', by='train')
    c = S.trust_card(st_, 1, seconds=6)
    ok = {x['check']: x['ok'] for x in c.checks}
    assert ok['all clips scored'] and ok['test set chooses nothing'] is False and ok[
        'seed variance'] is None and ok['motion']
    (st_.path/'leak_audit.csv').write_text('check,status\nframes,leak\ntime,ok\n')
    says = {x['check']: x for x in S.trust_card(st_, 1, seconds=6).checks}
    assert says['no leaks']['ok'] is False and 'frames' in says['no leaks']['says']
    fewer = lad[lad.clip_id != '0003'].drop(columns='rung')
    assert not {
        x['check']: x['ok']
        for x in S.trust_card(st_, fewer, seconds=6).checks
    }['all clips scored']
    with pytest.raises(SemvideoError, match='does not have'):
        S.trust_card(st_, lad.assign(clip_id='z'+lad.clip_id))

def test_leaderboard_marks_what_cannot_be_compared(scored):
    t,r,*_ = scored
    e = M.evaluate(r, t, 'paper', None, epe_size='native')
    b,n = S.leaderboard(e, 'mine')
    assert b.iloc[-1].drop('method').isna().all() and 'scored on other' in n.loc['SSIM', 'mine']
    assert 'clips 24, not 1200' in S.leaderboard(e, 'mine', data='cc2017')[1].loc['SSIM', 'mine']
    e.attrs.update(shape=[1200, 12, 64, 64], clips=1200, fps=6.) # as SemVideo's table is made
    b,n = S.leaderboard(e, 'mine', data='cc2017')
    assert b.iloc[-1].SSIM == pytest.approx(
        e[e.metric == 'SSIM'].value.mean()) and n.loc['2-way-I', 'mine'] == 'not measured'
    b,n = S.leaderboard(M.evaluate(r, t, models=None), 'mine', data='cc2017')
    assert 'strict profile' in n.loc['SSIM', 'mine'] and np.isnan(b.iloc[-1].SSIM)

# ---- score anything ----------------------------------------------------------------------------------------

def grid(t, r, pad=2):
    F,H,W,_ = t.shape
    g = np.zeros((F, H+2*pad, 2*W+3*pad, 3), np.uint8)
    g[:, pad:-pad, pad:pad+W],g[:, pad:-pad, 2*pad+W:-pad] = t,r
    return g

def write(folder, clips, kind, name='test{}'):
    from PIL import Image
    folder.mkdir()
    for i,c in enumerate(clips):
        n = name.format(i+1)
        if kind == 'npy': np.save(folder/f'{n}.npy', c)
        elif kind == 'png':
            (folder/n).mkdir()
            for k,f in enumerate(c): Image.fromarray(f).save(folder/n/f'{k}.png')
        elif kind == 'gif':
            ims = [Image.fromarray(f) for f in c]
            ims[0].save(folder/f'{n}.gif', save_all=True, append_images=ims[1:], duration=300)
        else:
            from semvideo.video import write_video
            write_video(folder/f'{n}.mp4', c, 4, crf=1)
    return folder

@pytest.mark.parametrize('kind,tol', [('npy', 0), ('png', 0), ('mp4', 12), ('gif', 6)])
def test_every_format_gives_the_clips_back(tmp_path, kind, tol):
    t = discs(11)
    f = write(tmp_path/'p', t, kind)
    assert list(S.list_clips(f)) == [f'test{i+1}' for i in range(11)]
    names,r,tt = S.load_pairs(f, write(tmp_path/'t', t, 'npy'), folder=tmp_path)
    assert r.shape == t.shape and abs(np.asarray(r).astype(int) -
                                      t).mean() <= tol and np.array_equal(tt, t)

def test_grids(tmp_path):
    t = discs(3)
    r = noisy(t, 5)
    f = write(tmp_path/'g', [grid(a, b) for a,b in zip(t, r)], 'gif', '{}-a disc')
    assert list(S.list_clips(f)) == ['1', '2', '3']
    at = lambda n: (tmp_path/n).mkdir() or tmp_path/n
    names,p,q = S.load_pairs(f, layout='NEURONS', folder=at('a'))
    assert p.shape == t.shape and abs(np.asarray(q).astype(int)-t).mean() < 10
    _,p2,q2 = S.load_pairs(f, layout='NEURONS', legacy=True, folder=at('b'))
    assert p2.shape[2:4] == (28, 27)
    _,p3,q3 = S.load_pairs(f, layout='GLFA', folder=at('c'))
    assert np.array_equal(p3, q) and np.array_equal(q3, p)
    with pytest.raises(SemvideoError, match='Not a grid'): S.split_grid(t[0][:, :, :23])

def test_alignment(tmp_path):
    a = {f'r{i}': i for i in (1, 2, 10)}
    b = {f'gt_{i:03d}': i for i in (1, 2, 10)}
    assert [x[1:] for x in S.align(a, b, 'number')] == [
        (1, 1), (2, 2), (10, 10)
    ] and [x[1:] for x in S.align(a, b, 'order')] == [(1, 1), (2, 2), (10, 10)]
    for f, says in ((lambda: S.align(a, b), 'do not match by name'),
                    (lambda: S.align({'r1': 1}, b, 'number'), '2 of 3 truths without'),
                    (lambda: S.align(a, {'gt_1': 1}, 'number'),
                     'without a truth'), (lambda: S.align({'r1': 1}, b, 'order'),
                                          'different numbers'), (lambda: S.align({
                                              'a1': 1,
                                              'b1': 2
                                          }, b, 'number'), 'not unique')):
        with pytest.raises(SemvideoError, match=says): f()

def test_score_writes_everything(tmp_path):
    t = discs(12)
    p,q = write(tmp_path/'p', noisy(t), 'npy'),write(tmp_path/'t', t, 'npy')
    res = S.score(p, q, tmp_path/'o', models=None, block=2)
    assert {'results.csv', 'results.parquet', 'clips.csv', 'how.json', 'trust.html',
            'trust.json'} == {f.name
                              for f in (tmp_path/'o').iterdir()}
    assert pd.read_parquet(
        tmp_path/'o/results.parquet').metric.tolist() == res.metric.tolist() and np.allclose(
            pd.read_csv(tmp_path/'o/results.csv').value, res.value)
    assert np.allclose(
        res.set_index(['metric', 'variant']).loc[('SSIM', 'strict'), 'value'],
        M.ssim(noisy(t), t).mean())
    np.save(tmp_path/'a.npy', noisy(t))
    np.save(tmp_path/'b.npy', t)
    assert np.allclose(
        S.score(tmp_path/'a.npy', tmp_path/'b.npy', tmp_path/'o2', models=None, block=2).value,
        res.value)
    np.save(tmp_path/'f.npy', (t/255).astype(np.float32))
    assert np.allclose(
        S.score(tmp_path/'f.npy', tmp_path/'b.npy', tmp_path/'o3', models=None,
                block=2).set_index('metric').value['PSNR'], 100)

def test_score_names_bad_folders(tmp_path):
    t = discs(6)
    p,q = write(tmp_path/'p', noisy(t), 'npy'),write(tmp_path/'t', t, 'npy')
    go = lambda a=p,b=q,**k: S.score(a, b, tmp_path/'o', models=None, **k)
    (tmp_path/'e').mkdir()
    mixed = write(tmp_path/'m', t[:1], 'npy')
    write(mixed/'x', t[:1], 'png')
    (mixed/'x/test1').rename(mixed/'test9')
    (mixed/'x').rmdir()
    bgr = write(tmp_path/'bgr', noisy(t)[..., ::-1], 'npy')
    long = write(tmp_path/'long', discs(6, 9), 'npy')
    odd = write(tmp_path/'odd', t, 'npy')
    np.save(odd/'test4.npy', t[3][:4])
    broken = tmp_path/'b'
    broken.mkdir()
    (broken/'test1.mp4').write_bytes(b'not a movie')
    scaled = write(tmp_path/'s', t/127.5-1, 'npy')
    twice = write(tmp_path/'w', [grid(a, a) for a in t], 'gif', '{}-x')
    (twice/'1-y.gif').write_bytes((twice/'1-x.gif').read_bytes())
    for f, says in ((lambda: go(tmp_path/'no'), 'Nothing is here'),
                    (lambda: go(tmp_path/'e'), 'empty'), (lambda: go(mixed), 'several kinds'),
                    (lambda: go(bgr), 'swapped'), (lambda: go(long), 'number of frames'),
                    (lambda: go(odd), 'test4'), (lambda: go(broken, broken),
                                                 'Cannot read this movie'), (lambda: go(scaled),
                                                                             'value range'),
                    (lambda: go(twice, None, layout='NEURONS'),
                     'one name'), (lambda: go(p, None), 'No truth'), (lambda: go(layout='x'),
                                                                      'grid layout')):
        with pytest.raises(SemvideoError, match=says): f()
    assert np.allclose(go(bgr, channels='bgr').value,
                       go().value) and len(go(long,
                                              frames=6)) and not (tmp_path/'o'/'pred.npy').exists()

def test_a_frozen_frame_is_a_null_of_motion_alone(scored):
    """It keeps the object; so a system that decodes the object and nothing of its motion may still claim
    the object."""
    t,r,tr,lad = scored
    still = np.repeat(r[:, 3:4], r.shape[1], 1)
    c = S.card(S.ladder(still, t, S.nulls(still, tr), models=None), 3)
    says = {x['check']: x for x in c.checks}
    assert 'frozen first frame' in set(c.rungs.system) and 'frozen' not in says['pixel fidelity'][
        'says'] and 'frozen first frame' in says['motion']['says'] and not says['motion']['ok']

def test_systems_on_some_clips_are_compared_on_those(scored):
    t,r,tr,lad = scored
    some = list(dict.fromkeys(lad.clip_id))[::4]
    part = lad[lad.system != 'truth']
    part = pd.concat([part, lad[(lad.system == 'truth') & lad.clip_id.isin(some)]])
    g = S.rungs(part, 3)
    n = dict(zip(zip(g.metric, g.system), g.n))
    o = lad[(lad.rung == 'ours') & (lad.metric == 'PSNR')]
    assert n['PSNR', 'truth'] == len(some) == 6 and n['PSNR', 'mean image'] == 24
    assert g[(g.metric == 'PSNR') & (g.system == 'truth')].ours.item() == pytest.approx(
        o[o.clip_id.isin(some)].value.mean())
    c = S.card(part, 3)
    m = c.metrics.set_index('metric')
    assert m.loc['PSNR', 'n'] == 24 and m.loc['PSNR', 'rank'].startswith('2 of')

def test_rates_of_movies_and_clips_that_stand_twice(tmp_path):
    from semvideo.video import write_video
    t = discs(4, 8)
    [(tmp_path/k).mkdir() for k in 'ab']
    for i,c in enumerate(t):
        write_video(tmp_path/f'a/{i}.mp4', c, 4, crf=1)
        write_video(tmp_path/f'b/{i}.mp4', c, 8, crf=1)
    with pytest.raises(SemvideoError, match='4 and 8 frames a second'):
        S.load_pairs(tmp_path/'a', tmp_path/'b', folder=tmp_path)
    assert S.load_pairs(tmp_path/'a', tmp_path/'b', frames=8,
                        folder=tmp_path)[1].shape[0] == 4 and S.load_pairs(
                            tmp_path/'b', tmp_path/'b', folder=tmp_path)[1].shape[1] == 8
    u = t.copy()
    u[2] = u[0]
    np.save(tmp_path/'p.npy', noisy(t))
    np.save(tmp_path/'t.npy', u)
    S.score(tmp_path/'p.npy', tmp_path/'t.npy', tmp_path/'o', models=None, block=1)
    ok = {x['check']: x for x in read_json(tmp_path/'o/trust.json')['checks']}
    assert ok['reconstructions are all different']['ok'] and ok['truths are all different'][
        'ok'] is False and '0002 is the same as 0000' in ok['truths are all different']['says']

def test_grids_as_torchvision_leaves_them(tmp_path):
    """The field's own writer: make_grid of truth and reconstruction, 2 px of padding, 260x518 at 256 px."""
    from semvideo.core import ensure_torchvision
    import torch
    ensure_torchvision()
    from torchvision.utils import make_grid
    t = discs(2, 3, 96)
    r = noisy(t, 5)
    px = lambda a: torch.from_numpy(a).permute(2, 0, 1)
    g = [
        np.stack([
            make_grid([px(a), px(b)], nrow=2, padding=2).permute(1, 2, 0).numpy()
            for a, b in zip(x, y)
        ])
        for x, y in zip(t, r)
    ]
    assert g[0].shape[1:3] == (100, 198)
    for x,y,z in zip(t, r, g):
        a,b = S.split_grid(z)
        assert np.array_equal(a, x) and np.array_equal(b, y)
    for layout in ('MinD-Video', 'NEURONS', 'Mind-Animator'):
        f = write(tmp_path/layout, g, 'gif', 'test{}')
        names,p,q = S.load_pairs(f, layout=layout, folder=tmp_path)
        assert names == ['test1', 'test2'
                         ] and abs(np.asarray(p).astype(int) -
                                   r).mean() < 8 and abs(np.asarray(q).astype(int) - t).mean() < 8
        _,p,q = S.load_pairs(f, layout=layout, legacy=True, folder=tmp_path)
        assert p.shape[2:4] == (100, 99)

def test_score_by_the_fields_definitions_and_through_its_gif(tmp_path):
    from semvideo.cli import main
    t = discs(3, 3)
    np.save(tmp_path/'p.npy', noisy(t))
    np.save(tmp_path/'t.npy', t)
    go = lambda *a: main([
        'score',
        str(tmp_path/'p.npy'),
        str(tmp_path/'t.npy'), '--out',
        str(tmp_path/'o'), '--models', 'none', '--profile', 'paper', '--source', 'all', *a
    ])
    assert not go()
    a = pd.read_csv(tmp_path/'o/results.csv')
    assert {'SemVideo', 'MinD-Video after GIF', 'Mind-Animator after a GIF of its own',
            'NEURONS after GIF'} == set(a.variant[a.metric == 'SSIM'])
    assert not go('--no-gif')
    b = pd.read_csv(tmp_path/'o/results.csv')
    assert {'SemVideo', 'MinD-Video', 'Mind-Animator', 'NEURONS'} == set(b.variant[b.metric == 'SSIM'])

def test_a_miniature_is_not_put_beside_cc2017(scored, tmp_path, capsys):
    "Its manifest may name the layout it is written in; what was simulated is not scored on CC2017."
    from semvideo.cli import main
    t,r,*_ = scored
    ids = [f'{i:04d}' for i in range(24)]
    s = Study.create(
        tmp_path/'s', 'cc2017', 'CC2017',
        pd.DataFrame(
            dict(clip_id=ids, split='test', segment='test1', onset_s=np.arange(24)*2.,
                 duration_s=2., source='x')), {})
    s.save_fmri(1, 'test', np.zeros((24, 1, 3), np.float32))
    (s.path/'evaluate/sub-1').mkdir(parents=True)
    M.evaluate(r, t, 'paper', None, clip_ids=ids,
               epe_size='native').assign(system='SemVideo').to_csv(
                   s.path/'evaluate/sub-1/clips.csv', index=False)
    go = lambda: (main(['leaderboard', '--study',
                        str(s.path), '--subject', '1']), capsys.readouterr().out)[1]
    assert 'simulated' not in go()
    (s.path/'miniature').mkdir()
    assert 'scored on simulated data, not cc2017' in go()

def test_simple_decoders_are_named_once_and_a_metric_on_both_sides_by_its_variant():
    rows = pd.DataFrame([
        dict(system=s, metric=m, variant=v, low=lo, high=lo + .1)
        for s, m, v, lo in (('ridge', 'SSIM', 'strict', .1), ('ridge', 'PSNR', 'strict', .1),
                            ('nearest', 'CLIP-pcc', 'gated', .1), ('nearest', 'CLIP-pcc', 'ungated',
                                                                   -.3), ('nearest', 'EPE',
                                                                          'strict', -.05))
    ])
    rows = rows.assign(p=.001, how='t over 9 stretches')
    c = S.baseline_check(rows)
    assert c[
        'says'] == 'above: nearest on CLIP-pcc (gated); ridge on PSNR, SSIM. Below: nearest on CLIP-pcc (ungated)' and c[
            'ok'] is False
    assert S.baseline_check(
        rows[rows.low > 0])['says'].endswith('Below: none') and S.baseline_check(
            rows[rows.low > 0])['ok'] is True
    lucky = S.baseline_check(rows[rows.low > 0].assign(p=.04)) # three questions: .04 is luck
    assert lucky['ok'] is False and lucky['says'].startswith('above: none')
    untold = rows.assign(p=np.nan, low=np.nan, high=np.nan, how='no interval: 20 clips')
    assert S.baseline_check(untold)['ok'] is None

def test_an_array_beside_a_folder_needs_as_many_clips(tmp_path):
    np.save(tmp_path/"a.npy", np.zeros((3, 4, 8, 8, 3), np.uint8))
    (tmp_path/"f").mkdir()
    np.save(tmp_path/"f/x.npy", np.zeros((4, 8, 8, 3), np.uint8))
    for pair in ((tmp_path/"a.npy", tmp_path/"f"), (tmp_path/"f", tmp_path/"a.npy")):
        with pytest.raises(SemvideoError, match="number of clips"): S.load_pairs(*pair)
