"""616_map_similarity, 630_explain: likeness of maps finds what two brains share, and nothing where decoders learned from other clips."""
import numpy as np
import pandas as pd
import pytest
from semvideo.agreement import agreement_matrix, carried, far_apart, null_readouts, parcel_products
from semvideo.core import SemvideoError, read_csv
from semvideo.cortex import AREA_GROUPS, atlas
from semvideo.map_similarity import ParcelMap, map_likeness, parcel_places, similarity_table

N, PER = 120, 4
GROUPS = list(AREA_GROUPS.values())
AREAS = [a for group in GROUPS for a in group]
NAMES = tuple((a, 'L') for a in AREAS)
VOXELS = pd.DataFrame([dict(hemisphere='L', vertex=int(v), parcel=a) for a in AREAS
                       for v in np.flatnonzero(atlas('L') == a)[np.linspace(0, (atlas('L') == a).sum() - 1, PER).astype(int)]])
PLACES = parcel_places(VOXELS, NAMES)


def film(seed):
    rng = np.random.default_rng(seed)
    return sum(np.roll(rng.standard_normal((2*N, 4)), k, 0) for k in range(3)), rng


def viewer(signal, seed, carries, learned=None, draws=59):
    "Map of a made-up viewer of a film: areas in `carries` follow it, the others something else of it."
    rng = np.random.default_rng(seed)
    smooth = lambda *s: sum(np.roll(rng.standard_normal(s), k, 0) for k in range(3))
    other = smooth(2*N, 4)
    x = np.concatenate([(signal if a in carries else other) @ rng.standard_normal((4, PER)) for a in AREAS], 1)
    x = x + smooth(2*N, len(VOXELS))
    train, test, y, target = x[:N], x[N:], signal[:N], signal[N:]
    decoded = test @ np.linalg.solve(train.T @ train + 100*np.eye(x.shape[1]), train.T @ (y if learned is None else learned(y)))
    far = far_apart(np.zeros(N), 2.*np.arange(N))
    nulls = null_readouts(train, test, y, target, np.zeros(N), draws, 0)
    c = carried(parcel_products(test, VOXELS, far), agreement_matrix(decoded, target), nulls, np.zeros(N), 9)
    return ParcelMap(c.parcels.names, c.observed, c.decoders, PLACES)


def test_viewers_whose_areas_carry_the_same_are_alike_and_others_are_not():
    found = []
    for seed in range(8):
        signal, _ = film(seed)
        a, b, c = (viewer(signal, k + seed, GROUPS[g]) for k, g in ((100, 1), (200, 1), (300, 2)))
        same, other = similarity_table({1: a, 2: b}).iloc[0], similarity_table({1: a, 2: c}).iloc[0]
        found.append((same.p_places, same.r, other.p))
    same, r, other = np.array(found).T
    assert np.median(same) <= .05 and same.max() < .2 and r.min() > .35 and other.min() > .5


def test_decoders_that_learned_from_other_clips_are_not_called_alike():
    "40 pairs of brains whose signal lies in the same areas: the claim in 5 or so of 100."
    wrong = []
    for seed in range(40):
        signal, rng = film(seed)
        turn = int(rng.integers(20, 100))
        learned = lambda y: np.roll(y, turn, 0)
        a, b = (viewer(signal, k + seed, GROUPS[1], learned) for k in (100, 200))
        wrong.append(similarity_table({1: a, 2: b}).p[0] <= .05)
    assert np.mean(wrong) <= .125


def test_places_are_on_the_sphere_and_hemispheres_lie_on_each_other():
    v = pd.DataFrame([dict(hemisphere=h, vertex=int(i), parcel='MT') for h in 'LR' for i in np.flatnonzero(atlas(h) == 'MT')])
    a, b = parcel_places(v, (('MT', 'L'), ('MT', 'R')))
    assert np.allclose([np.linalg.norm(a), np.linalg.norm(b)], 1) and a @ b > .98


def test_parcels_are_matched_by_name():
    rng = np.random.default_rng(0)
    names = tuple((f'a{i}', 'L') for i in range(12))
    a = ParcelMap(names, rng.standard_normal(12), rng.standard_normal((9, 12)), PLACES[:12])
    order = rng.permutation(12)
    b = ParcelMap(tuple(names[i] for i in order), a.values[order], a.draws[:, order], a.places[order])
    assert np.isclose(map_likeness(a, b)['r'], 1) and np.allclose(map_likeness(a, b)['decoders'], 1)
    c = b.of([n for n in b.names if n != ('a3', 'L')])
    assert map_likeness(a, c)['parcels'] == 11


def test_three_subjects_have_a_mean():
    rng = np.random.default_rng(1)
    names, core = tuple((f'a{i}', 'L') for i in range(15)), rng.standard_normal(15)
    maps = {s: ParcelMap(names, core + .3*rng.standard_normal(15), rng.standard_normal((99, 15)), PLACES[:15]) for s in 'xyz'}
    t = similarity_table(maps)
    assert t.subjects.tolist() == ['x and y', 'x and z', 'y and z', 'mean of all pairs']
    assert np.isclose(t.r.iloc[3], t.r[:3].mean()) and t.p_decoders.iloc[3] == .01 and t.p.iloc[3] <= t.p[:3].max()


def two_subjects(path):
    "A study of two viewers; every area of three parcels answers to the film."
    from test_explain import planted_study
    study, decoders = planted_study(path, 0)
    voxels = study.voxels(1)
    many = [f'a{i}' for i in range(8)] # eight parcels, so that two maps can be compared
    voxels['parcel'] = [many[i*8//len(voxels)] for i in range(len(voxels))]
    for s in (1, 2):
        (study.path/f'fmri/sub-{s}/voxels.csv').unlink(missing_ok=True)
        study.save_voxels(s, voxels)
        if s == 2:
            for split in ('train', 'test'): study.save_fmri(2, split, np.array(study.fmri(1, split)))
    return study, decoders


def test_a_study_of_two_subjects_has_a_table_and_a_stage(tmp_path, monkeypatch):
    monkeypatch.setattr('semvideo.explain._save_map', lambda *a, **kw: []) # pictures take seconds, and are looked at elsewhere
    monkeypatch.setattr('semvideo.explain._lag_files', lambda *a: [])
    from semvideo.explain import compare_maps, explain_study, why_not_compared
    study, decoders = two_subjects(tmp_path/'s')
    small = dict(n_decoders=29, methods=('haufe',), occlusion=False)
    explain_study(study, 1, decoders=decoders, **small)
    assert why_not_compared(study) == 'one subject is explained so far'
    with pytest.raises(SemvideoError, match='two subjects'): compare_maps(study)
    explain_study(study, 2, decoders=decoders, **small)
    stage = compare_maps(study)
    t = read_csv(stage.dir/'similarity.csv')
    assert t.level.tolist() == ['anchor', 'motion'] and np.allclose(t.r, 1) and (t.subjects == '1 and 2').all()
    stamp = stage.file.stat().st_mtime_ns
    assert compare_maps(study).file.stat().st_mtime_ns == stamp, 'made again although nothing changed'
    explain_study(study, 2, decoders=decoders, seed=1, force=True, **small)
    assert study.check()['explain/similarity']['state'] == 'stale'
    assert 'seed 1' in why_not_compared(study)
    with pytest.raises(SemvideoError, match='null decoders differ'): compare_maps(study)


def test_a_map_needs_its_parcels():
    with pytest.raises(SemvideoError, match='differ'): ParcelMap((('V1', 'L'),), np.zeros(1), np.zeros(3), np.zeros((1, 3)))
