"""605_cortex, 610_map_nulls: spatial nulls are compact or spun, p-values are honest."""
import numpy as np
import pandas as pd
import pytest
from semvideo.core import SemvideoError, rng_for
from semvideo.neuro import (
    atlas, auc, fdr, patch_indices, patch_means, planted_table, roi_table, sphere_points, spin_indices)
from brain_help import AREAS, ROLES, voxels as voxels


def test_roi_table_sums_and_ranks(voxels):
    v = np.arange(len(voxels), dtype=float); t = roi_table(v, voxels)
    assert t['sum'].sum() == pytest.approx(
        v.sum()) and t.share.sum() == pytest.approx(1) and t.n.sum() == len(v)
    assert t['mean'].is_monotonic_decreasing and t['rank'].tolist() == list(range(1, len(t) + 1))
    order = np.random.default_rng(0).permutation(len(v))
    pd.testing.assert_frame_equal(
        roi_table(v[order], voxels.iloc[order]).drop(columns='rank'), t.drop(columns='rank'))
    prefixed = voxels.assign(parcel=voxels.hemisphere + '_' + voxels.parcel + '_ROI')
    pd.testing.assert_frame_equal(roi_table(v, prefixed), t)


def test_p_is_never_zero_and_follows_the_seed(voxels):
    v = (voxels.parcel == 'MT').to_numpy(float)
    a, b = roi_table(v, voxels, 'patch', 99), roi_table(v, voxels, 'patch', 99)
    assert a.p.min() >= 1/100 and (a.q >= a.p - 1e-12).all() and a.equals(b)
    with pytest.raises(SemvideoError, match='Unknown null'): roi_table(v, voxels, 'moran')


def test_patches_are_compact_and_of_one_hemisphere(voxels):
    xyz, hemi = sphere_points(voxels), voxels.hemisphere.to_numpy()
    for rows in patch_indices(voxels, 12, 20):
        for i in rows:
            assert len(set(i)) == 12 and len(set(hemi[i])) == 1
            d = np.linalg.norm(xyz[hemi == hemi[i[0]]] - xyz[i[0]], axis=1)
            assert np.linalg.norm(xyz[i] - xyz[i[0]], axis=1).max() <= np.sort(d)[11] + 1e-9
    patches = patch_indices(voxels, 12, 20)
    v = np.random.default_rng(0).random(len(voxels))
    sizes = patch_means(v, patches, [3, 12])
    np.testing.assert_allclose(sizes[12], patch_means(v, patches))
    np.testing.assert_allclose(sizes[3], patch_means(v, [p[:, :3] for p in patches]))


def test_spins_are_permutation_like_on_the_whole_cortex():
    whole = pd.concat([
        pd.DataFrame(dict(hemisphere=h, vertex=np.flatnonzero(atlas(h) != '')[::20])) for h in 'LR'
    ], ignore_index=True)
    s = spin_indices(whole, 9, max_degrees=8.)
    hemi = whole.hemisphere.to_numpy()
    assert s.shape == (9, len(whole)) and (s >= 0).mean() > .8 and all(
        (hemi[i[i >= 0]] == hemi[i >= 0]).all() for i in s)
    assert (s == np.arange(len(whole))).mean() < .05 and (spin_indices(whole, 9, max_degrees=8.)
                                                          == s).all()


def test_fdr_and_auc_against_plain_definitions():
    r = np.random.default_rng(0); p = r.random(20)
    assert np.allclose(fdr(p), [min(1, min(20*q/(p <= q).sum() for q in p if q >= o)) for o in p])
    v, m = r.integers(0, 9, 50).astype(float), r.random(50) < .4
    assert auc(v, m) == pytest.approx(np.mean([(a > b) + .5*(a == b) for a in v[m] for b in v[~m]]))


def test_planted_p_is_uniform_when_nothing_is_planted(voxels):
    "Maps with noise shared within parcels: p below 0.25 in about a quarter of them."
    parcels = voxels.parcel.to_numpy(str)
    code = np.unique(parcels, return_inverse=True)[1]
    ps = []
    for i in range(120):
        r = rng_for('uniform', i)
        v = r.standard_normal(len(AREAS))[code] + r.standard_normal(len(voxels))
        ps.append(planted_table(v, voxels, ROLES, n_perm=199, seed=i).p.iloc[1])
    assert .12 < np.mean(np.array(ps) <= .25) < .4


def test_planted_table_without_idle_parcels_and_with_roles_together(voxels):
    some = voxels[voxels.parcel.isin(['V1', 'MT', 'FFC'])]
    v = some.parcel.isin(['V1', 'FFC']).to_numpy(float)
    t = planted_table(v, some, ROLES, ('early', 'meaning'), 99).set_index('role')
    assert t.auc['early + meaning'] == 1 and t.auc['motion'] == 0 and t.auc_none.isna().all() and (
        t.p > 0).all()
    assert np.isnan(
        planted_table(v, some, ROLES, ('early', 'motion', 'meaning'),
                      99).set_index('role').auc['early + motion + meaning'])
