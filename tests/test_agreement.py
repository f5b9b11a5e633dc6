"""615_agreement: a map that is empty where nothing is carried; p that hold; nulls that keep what they should."""
import numpy as np
import pandas as pd
import pytest
from semvideo.agreement import (Carried, agreement, agreement_matrix, carried, carried_table, difference_table, family_p,
                                far_apart, null_readouts, other_pairing, parcel_products, turned_in_time)
from semvideo.core import SemvideoError

N, KINDS = 160, ('carries', 'other', 'empty')


def brain(seed, n=N, per=12):
    "(training fMRI, test fMRI, training targets, test targets): parcels that carry, carry something else, carry nothing."
    rng = np.random.default_rng(seed)
    smooth = lambda *s: sum(np.roll(rng.standard_normal(s), k, 0) for k in range(3))
    signal, other = smooth(2*n, 5), smooth(2*n, 5)
    parts = [signal @ rng.standard_normal((5, per)), other @ rng.standard_normal((5, per)), np.zeros((2*n, per))]
    x = np.concatenate(parts, 1) + smooth(2*n, 3*per)
    return x[:n], x[n:], signal[:n], signal[n:]


def readout(x, y, at, penalty=100):
    w = np.linalg.solve(x.T @ x + penalty*np.eye(x.shape[1]), x.T @ y)
    return at @ w


VOXELS = pd.DataFrame(dict(parcel=np.repeat(KINDS, 12), hemisphere='L'))
FAR = far_apart(np.zeros(N), 2.*np.arange(N))


def level(seed, learned=None, draws=99):
    xt, xe, yt, ye = brain(seed)
    decoded = readout(xt, yt if learned is None else learned(yt), xe)
    nulls = null_readouts(xt, xe, yt, ye, np.zeros(N), draws, seed)
    return carried(parcel_products(xe, VOXELS, FAR), agreement_matrix(decoded, ye), nulls, np.zeros(N), draws)


def test_it_finds_what_is_carried_and_nothing_else():
    found = np.array([(carried_table(level(s)).set_index('parcel').p[list(KINDS)] <= .05).to_numpy() for s in range(20)])
    assert found[:, 0].all() and found[:, 1:].any(1).sum() <= 3


def test_a_decoder_that_learned_from_other_clips_finds_nothing():
    "100 brains: a claim on any parcel in at most 5 or so (binomial: 10 would be odd)."
    wrong = [(carried_table(level(s, lambda y: np.roll(y, 60, 0), 59)).p <= .05).any() for s in range(100)]
    assert np.mean(wrong) <= .1


def test_haufe_maps_of_such_decoders_do_find_something():
    "What this room is for: signal of any kind stands out of a Haufe map of a decoder that learned nothing true."
    from semvideo.importance import haufe
    from semvideo.map_nulls import auc
    areas, ours = [], []
    for s in range(10):
        xt, xe, yt, ye = brain(s)
        decoded = readout(xt, np.roll(yt, 60, 0), xe)
        filled = (VOXELS.parcel != 'empty').to_numpy()
        areas.append(auc(haufe(xe, decoded), filled))
        ours.append(auc(agreement(xe, decoded, ye, FAR), filled))
    assert np.mean(areas) > .6 and abs(np.mean(ours) - .5) < .1


def test_near_pairs_would_make_noise_carry():
    "Without leaving them out, voxels of noise are above 0 in each brain."
    with_, without = [], []
    for s in range(10):
        xt, xe, yt, ye = brain(s)
        decoded, empty = readout(xt, yt, xe), (VOXELS.parcel == 'empty').to_numpy()
        without.append(agreement(xe, decoded, ye, FAR)[empty].mean())
        with_.append(agreement(xe, decoded, ye, np.ones((N, N), bool))[empty].mean())
    assert min(with_) > 0 and np.mean(with_) > 10*abs(np.mean(without))


def test_parcels_are_means_of_voxels():
    xt, xe, yt, ye = brain(0)
    m = agreement_matrix(readout(xt, yt, xe), ye)
    s = agreement(xe, readout(xt, yt, xe), ye, FAR)
    p = parcel_products(xe, VOXELS, FAR)
    assert [n[0] for n in p.names] == list(KINDS)
    assert np.allclose(p.means(m), s.reshape(3, 12).mean(1), rtol=1e-4, atol=1e-9)


def test_a_null_readout_is_a_ridge_of_the_other_pairing():
    xt, xe, yt, ye = brain(3)
    segments = np.repeat([0, 1], N//2)
    from semvideo.core import rng_for
    m = next(null_readouts(xt, xe, yt, ye, segments, 1, 7))
    pairing = other_pairing(segments, rng_for('explain', 'null decoder', 7, 0))
    z = lambda a: (a - xt.mean(0))/xt.std(0)
    k = z(xt) @ z(xt).T
    y = (yt - yt.mean(0))[pairing]
    decoded = z(xe) @ z(xt).T @ np.linalg.solve(k + np.trace(k)/N*np.eye(N), y)
    assert np.allclose(m, agreement_matrix(decoded, ye), atol=1e-7)


def test_pairings_are_of_whole_segments():
    segments = np.repeat(['a', 'b', 'c'], 30)
    for s in range(20):
        p = other_pairing(segments, np.random.default_rng(s))
        assert sorted(p) == list(range(90)) and (p != np.arange(90)).all()
        assert all(len(set(segments[p[i:i + 30]])) == 1 for i in (0, 30, 60))


def test_turns_stay_within_segments():
    segments = np.repeat([0, 1], [20, 30])
    m = np.add.outer(segments, segments)
    turns = list(turned_in_time(m.astype(float), segments, 99))
    assert len(turns) == 15 and all((t == m).all() for t in turns)


def test_p_of_a_family():
    rng = np.random.default_rng(0)
    p = [family_p(d[0], d[1:]).min() for d in rng.standard_normal((300, 40, 8))]
    assert .02 < np.mean(np.array(p) <= .05) < .08
    d = rng.standard_normal((100, 3))
    assert family_p(np.array([9, 0, 0]), d)[0] == 1/101 and family_p(np.array([-9, 0, 0]), d)[0] > .5
    assert family_p(np.array([-9, 0, 0]), d, True)[0] == 1/101


def test_where_two_levels_differ():
    a, b = level(0), level(0, lambda y: np.roll(y, 60, 0))
    t = difference_table(a, b).set_index('parcel')
    assert t.p['carries'] <= .05 and t['mean']['carries'] > 0 and t.p['empty'] > .05
    with pytest.raises(SemvideoError, match='different parcels'):
        difference_table(a, Carried(parcel_products(brain(0)[1][:, :12], VOXELS[:12], FAR), a.observed[:1], a.decoders[:, :1], a.shifts[:, :1]))


def test_what_cannot_be_compared():
    with pytest.raises(SemvideoError, match='differ in shape'): agreement_matrix(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(SemvideoError, match='the same for every clip'): agreement_matrix(np.ones((4, 2)), np.eye(4)[:, :2])


def test_dead_voxels_are_zero():
    xt, xe, yt, ye = brain(0)
    xe = xe.copy()
    xe[:, 3] = 5
    assert agreement(xe, ye, ye, FAR)[3] == 0


def test_what_was_measured_on_the_miniature_holds():
    "tests/map_rates.py, over all vertices, those of areas that answer to nothing too: few false claims, motion in V1 where it was planted."
    import json
    from pathlib import Path
    rates = json.loads((Path(__file__).parent/'results/map_rates.json').read_text())
    levels = {l: rates[l] for l in ('anchor', 'motion', 'holistic', 'latents')}
    for r in levels.values():
        assert max(r['false_with_null_decoders'], r['false_with_noise']) <= .05
        assert r['significant']['none'] == '0 of 6' and r['haufe_auc_of_null_decoders'] > .9
    moving, still = levels['motion']['v1']
    assert min(moving, still) > 100 and levels['motion']['v1_motion_auc'] > .7 > .55 > levels['anchor']['v1_motion_auc']
    difference = rates['motion minus anchor']
    assert difference['motion']['motion'] == difference['motion']['of'] and difference['early']['anchor'] == difference['early']['of']
    assert difference['none'] == dict(of=6, motion=0, anchor=0)
