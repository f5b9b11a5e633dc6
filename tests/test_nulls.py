"540_nulls: nulls are what they say, and a good system stands above them."
import numpy as np, pytest
from semvideo.core import SemvideoError
from semvideo import stats as S
from stats_help import discs, scored as scored

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
