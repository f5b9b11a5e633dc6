"550_diagnostics: classification is told from reconstruction."
import numpy as np, pytest
from semvideo import metrics as M, stats as S
from semvideo.fmri import spearman_brown
from stats_help import rng

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
