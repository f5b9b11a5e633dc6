"""505_nway: n-way accuracy and identification against plain procedures, and under transformations
with a known answer."""
import numpy as np, pytest
from hypothesis import given, strategies as st
from semvideo.core import SemvideoError
from semvideo import metrics as M
from metrics_help import SET, rng

def sampled(pred, true, n_way, top, trials, seed):
    "MinD-Video's procedure written plainly."
    r = rng(seed)
    labels = set(np.argsort(-true, kind='stable')[:top])
    rest = np.array([k for k in range(len(pred)) if k not in labels])
    ok = 0
    for _ in range(trials):
        draw = r.choice(rest, n_way-1, replace=False)
        ok += any(all(pred[g] > pred[d] for d in draw) for g in labels)
    return ok/trials

@pytest.mark.parametrize('K', [10, 57, 400, 1000])
@pytest.mark.parametrize('n_way', [2, 7, 50])
@pytest.mark.parametrize('top', [1, 3])
def test_n_way_agrees_with_monte_carlo(K, n_way, top):
    if K-top < n_way-1: pytest.skip('too few classes')
    r = rng(K, n_way, top)
    true = r.normal(size=(4, K))
    pred = true*.5+r.normal(size=(4, K))
    pred[2:] = np.round(pred[2:])   # ties
    p = M.n_way_accuracy(pred, true, n_way, top); t = 1500
    for i in range(4):
        assert abs(p[i] -
                   sampled(pred[i], true[i], n_way, top, t, i)) < 4.5*np.sqrt(p[i]*
                                                                              (1 - p[i])/t) + 1e-3

@SET
@given(st.integers(10, 300), st.integers(2, 50), st.integers(1, 3), st.integers(0, 10_000))
def test_n_way_properties(K, n, top, seed):
    if K-top < n-1: n = K-top+1
    if n < 2: return
    r = rng(seed); true,pred = r.normal(size=(2, 5, K))
    p = M.n_way_accuracy(pred, true, n, top)
    assert ((0 <= p) & (p <= 1)).all() and p.dtype == np.float64
    assert (M.n_way_accuracy(true, true, n, top) == 1).all()
    assert np.allclose(M.n_way_accuracy(np.exp(pred/3), true, n, top), p) # any monotone rescaling of scores
    o = r.permutation(K)
    assert np.allclose(M.n_way_accuracy(pred[:, o], true[:, o], n, top), p) # names of classes do not matter
    if n > 2: assert (M.n_way_accuracy(pred, true, n-1, top) >= p-1e-12).all() # more alternatives, harder
    assert (M.n_way_accuracy(pred, true, n, top, ties='fair') >= p-1e-12).all()

def test_n_way_chance():
    r = rng(0); pred,true = r.normal(size=(2, 20_000, 60))
    for n,c in ((2, .75), (50, 3/52)):
        assert abs(M.n_way_accuracy(pred, true, n).mean() -
                   c) < .01 and M.chance_n_way(n) == pytest.approx(c)
    assert abs(M.n_way_accuracy(pred, true, 2, top=1).mean()-.5) < .01

def test_n_way_table_is_the_hypergeometric():
    from scipy.stats import hypergeom
    for Mc,m in ((7, 1), (97, 49), (997, 49)):
        assert np.allclose(M.miss_table(Mc, m), hypergeom.pmf(0, Mc, np.arange(Mc + 1), m),
                           atol=1e-12)

def test_fair_ties_are_fair():
    pred = np.zeros((1, 12)); true = np.arange(12.)[None]
    assert M.n_way_accuracy(pred, true, 5, 3, 'fair')[0] == pytest.approx(3/7)

@pytest.mark.parametrize('bad,says', [(lambda a: M.n_way_accuracy(a, a[:, :9], 2), 'do not match'), (lambda a: M.n_way_accuracy(a, a, 1), 'needs more classes'),
    (lambda a: M.n_way_accuracy(a, a, 11), 'needs more classes'), (lambda a: M.n_way_accuracy(a*np.nan, a, 2), 'NaN'), (lambda a: M.n_way_accuracy(a, a, 2, ties='win'), 'ties')])
def test_n_way_refuses(bad, says):
    with pytest.raises(SemvideoError, match=says): bad(rng(0).normal(size=(3, 12)))

@SET
@given(st.integers(3, 40), st.integers(2, 20), st.integers(0, 999))
def test_identification_against_the_double_loop(n, d, seed):
    r = rng(seed)
    p,t = r.integers(-2, 3, (2, n, d)).astype(float)
    on = np.sort(r.integers(0, 100, n)).astype(float)
    c = lambda a,b: a @ b/max(np.linalg.norm(a)*np.linalg.norm(b), 1e-300)
    def plain(p, t, ok):
        return np.array([
            np.mean([
                1. if c(p[i], t[j]) < c(p[i], t[i]) - 1e-12 else .5*
                (abs(c(p[i], t[j]) - c(p[i], t[i])) <= 1e-12) for j in range(n) if ok(i, j)
            ]) for i in range(n)
        ])
    assert np.allclose(M.identification(p, t), plain(p, t, lambda i,j: i != j))
    m = t.mean(0)
    assert np.allclose(M.identification(p, t, mean='true'), plain(p-m, t-m, lambda i,j: i != j))
    if (abs(np.subtract.outer(on, on)) > 20).any(1).all():
        assert np.allclose(M.identification(p, t, on),
                           plain(p, t, lambda i, j: abs(on[i] - on[j]) > 20))

def test_n_way_of_a_whole_test_set_in_a_second():
    import time
    r = rng(0)
    true = r.normal(size=(7200, 1000))
    pred = true*.3+r.normal(size=true.shape)
    t = time.process_time()
    M.n_way_accuracy(pred, true, 50)
    assert time.process_time()-t < 1
