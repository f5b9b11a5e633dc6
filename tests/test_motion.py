"545_motion: the shuffle test is exact, and motion counts only where it is the clip's own."
import itertools
import numpy as np, pandas as pd, pytest
from semvideo.core import SemvideoError
from semvideo import metrics as M, stats as S
from stats_help import rng, discs, noisy

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
