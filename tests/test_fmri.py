"""Cleaning, selection and reading, against SciPy and nibabel, with planted truth, and every kind of bad
file."""
import nibabel as nib, numpy as np, pytest, scipy.stats as ss
from hypothesis import given, settings, strategies as st
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis, SeriesAxis
from semvideo import fmri
from semvideo.core import SemvideoError

def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype('f4')

# ---- cleaning
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(.5, 100), st.floats(-5000, 5000), st.integers(0, 4))
def test_clean_ignores_gain_offset_and_slow_drift(seed, gain, offset, order):
    x = noise(245, 5, seed=seed).astype(float)
    t = np.linspace(-1, 1, 245)[:, None]
    a, b = fmri.clean_run(x), fmri.clean_run(gain*(x + 3*t**order) + offset)
    assert np.abs(a - b).max() < max(5e-3, 2e-6*abs(offset)/gain)

@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_clean_is_the_same_for_permuted_voxels(seed):
    x = noise(246, 12, seed=seed)
    i = np.random.default_rng(seed).permutation(12)
    assert np.allclose(fmri.clean_run(x)[:, i], fmri.clean_run(x[:, i]), atol=1e-5)

def test_trim_drops_what_it_says():
    x = noise(245, 3)
    y = x.copy()
    y[0] += 1000
    y[-4:] -= 1000
    assert np.allclose(fmri.clean_run(x), fmri.clean_run(y), atol=1e-4)
    z = np.concatenate([noise(1, 3, seed=1), x])
    assert np.allclose(fmri.clean_run(z), fmri.clean_run(x), atol=1e-5)
    y[1] += 1000
    assert not np.allclose(fmri.clean_run(x), fmri.clean_run(y), atol=.1)

def test_clean_against_reference():
    from scipy.signal import detrend
    x = noise(240, 7) + 100
    a = fmri.clean_run(x, n_keep=None, poly=1)
    b = ss.zscore(detrend(x.astype(float), axis=0), 0)
    assert np.allclose(a, b, atol=1e-4) and np.allclose(
        fmri.clean_run(x, n_keep=None, poly=1, ddof=1), b*np.sqrt(239/240), atol=1e-4)

@pytest.mark.parametrize('n', [0, 240, 244, 247, 250])
def test_other_volume_counts_are_refused(n):
    with pytest.raises(SemvideoError, match='number of volumes') as e:
        fmri.clean_run(np.zeros((n, 2)), file='seg7_1')
    assert 'seg7_1' in str(e.value) and '245 or 246' in str(e.value)

def test_lag_stays_inside_the_run():
    assert fmri.trim_slice(245, lag=4) == slice(5, 245) and fmri.trim_slice(246, lag=-2) == slice(
        0, 240)
    for n,lag in ((245, 5), (245, -2)):
        with pytest.raises(SemvideoError, match='Lag'): fmri.trim_slice(n, lag=lag)

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

# ---- selection
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

# ---- ceilings
def test_explainable_variance_is_unbiased_with_missing_repeats():
    rng = np.random.default_rng(0); ev = np.repeat([0, .1, .5], 300)
    x = np.sqrt(ev)*rng.normal(size=(300, 1, 900)) + np.sqrt(1 - ev)*rng.normal(size=(300, 6, 900))
    x[:100, 2] = np.nan
    x[50:80, 4] = np.nan
    x[0, 1:] = np.nan
    got = fmri.explainable_variance(x).reshape(3, 300).mean(1)
    assert np.allclose(got, [0, .1, .5], atol=.01)
    for bad in (x[:, :1], x[:2]):
        with pytest.raises(SemvideoError, match='needs repeats'):
            fmri.explainable_variance(bad)

def test_ceilings_of_a_memory_map_in_blocks(tmp_path):
    x = noise(60, 4, 70)
    x[5, 2] = np.nan
    np.save(tmp_path/'x.npy', x)
    m = np.load(tmp_path/'x.npy', mmap_mode='r')
    whole = fmri.signal_power(x, block=10**6)
    assert all(np.allclose(a, b, atol=1e-12) for a,b in zip(whole, fmri.signal_power(m, block=16)))
    assert np.array_equal(fmri.explainable_variance(m), fmri.explainable_variance(x))

def test_repeat_curve_of_planted_voxels_and_missing_repeats(tmp_path):
    rng = np.random.default_rng(2)
    ev = .3
    x = (np.sqrt(ev)*rng.normal(size=(400, 1, 60)) +
         np.sqrt(1 - ev)*rng.normal(size=(400, 10, 60))).astype('f4')
    sb = lambda n: np.sqrt(n*ev/(1 + (n - 1)*ev))
    c = fmri.repeat_curve(x, block=25).set_index('n')
    assert list(c.index) == list(range(1, 11)) and c.ceiling.is_monotonic_increasing
    assert np.allclose(c.ceiling, [sb(n) for n in c.index], atol=.02) and np.allclose(
        c.measured[:9], [sb(n)*sb(10 - n)
                         for n in range(1, 10)], atol=.02) and np.isnan(c.measured[10])
    np.save(tmp_path/'x.npy', x)
    assert fmri.repeat_curve(np.load(tmp_path/'x.npy',
                                     mmap_mode='r')).equals(fmri.repeat_curve(x, block=10**6))
    x[:80, 8] = np.nan
    assert np.allclose(fmri.repeat_curve(x).ceiling, c.ceiling, atol=.02)

def test_no_model_beats_the_ceiling():
    rng = np.random.default_rng(1)
    s = rng.normal(size=(4000, 1, 20))
    x = s + 2*rng.normal(size=(4000, 5, 20))
    r = [np.corrcoef(s[:, 0, v], x[:, :, v].mean(1))[0, 1] for v in range(20)]
    assert np.allclose(fmri.noise_ceiling(x), r,
                       atol=.05) and abs(np.mean(fmri.noise_ceiling(x)) - np.mean(r)) < .015

@pytest.mark.parametrize('lag', [-2, 0, 3])
def test_planted_lag_is_found(lag):
    f = noise(3, 240, seed=5)
    b = np.stack([np.roll(x, lag) for x in f])[..., None] + 3*noise(3, 240, 60)
    d = fmri.lag_profile(b, f)
    assert d.lag[d.r2.idxmax()] == lag
    with pytest.raises(SemvideoError, match='does not fit'): fmri.lag_profile(b, f[:, 1:])

# ---- files
def axis(n=60):
    return BrainModelAxis.from_surface(np.arange(n)*3, 32492,
                                       'CortexLeft') + BrainModelAxis.from_surface(
                                           np.arange(n)*5, 32492, 'CortexRight')

def sub():
    m = np.zeros((5, 5, 5), bool)
    m[1:3] = True
    return BrainModelAxis.from_mask(m, name='THALAMUS_LEFT', affine=np.eye(4))

def test_reads_what_nibabel_reads_even_with_subcortex_in_between(tmp_path):
    ax = BrainModelAxis.from_surface(np.arange(60)*3, 32492,
                                     'CortexLeft') + sub() + BrainModelAxis.from_surface(
                                         np.arange(60)*5, 32492, 'CortexRight')
    x = noise(20, len(ax))
    p = tmp_path/'a.dtseries.nii'
    nib.save(nib.Cifti2Image(x, (SeriesAxis(0, 720, 20, 'SECOND'), ax)), p)
    r = fmri.open_run(p); back = np.asarray(nib.load(p).dataobj)
    assert len(r.gray) == 120 and r.gray.total == 170 and (r.volumes, r.tr) == (20, 720.)
    cols = np.r_[0:60, 110:170]
    assert (r.gray.column == cols).all() and np.array_equal(
        r.rows(), back[:, cols].T) and np.array_equal(r.rows(55, 70), back[:, cols[55:70]].T)
    assert (r.gray.vertex[60:] == np.arange(60)*5).all() and ''.join(r.gray.hemisphere[[0, -1
                                                                                        ]]) == 'LR'

def swapped(p):
    nib.save(nib.Cifti2Image(noise(120, 20), (axis(), SeriesAxis(0, 2, 20))), p)
def truncated(p):
    fmri.write_run(p, noise(20, 4), list('LLRR'), [1, 2, 1, 2])
    b = p.read_bytes()
    p.write_bytes(b[:-8])
def header_cut(p):
    truncated(p)
    p.write_bytes(p.read_bytes()[:700])
def dscalar(p):
    nib.save(nib.Cifti2Image(noise(2, 120), (ScalarAxis(['a', 'b']), axis())), p)
def no_cortex(p):
    nib.save(nib.Cifti2Image(noise(20, 50), (SeriesAxis(0, 2, 20), sub())), p)
def int_scaled(p):
    img = nib.Cifti2Image(noise(20, 120), (SeriesAxis(0, 2, 20), axis()))
    img.nifti_header.set_data_dtype('i2')
    nib.save(img, p)
def gz(p):
    import gzip
    truncated(p)
    p.write_bytes(gzip.compress(p.read_bytes()))

@pytest.mark.parametrize('make,says', [(None, 'not found'), (lambda p: p.write_bytes(b''), 'Not a readable CIFTI'), (lambda p: p.write_bytes(b'x'*9999), 'Not a readable CIFTI'), (swapped, 'swapped'), (truncated, 'truncated'),
                                       (header_cut, 'Not a readable CIFTI'), (dscalar, 'Not a dense series'), (no_cortex, 'No cortical'), (int_scaled, 'Data type'), (gz, 'Not a readable CIFTI')])
def test_bad_runs(tmp_path, make, says):
    p = tmp_path/'seg1_1_Atlas.dtseries.nii'
    if make: make(p)
    with pytest.raises(SemvideoError, match=says) as e: fmri.open_run(p)
    assert 'seg1_1_Atlas' in str(e.value) and len(str(e.value).splitlines()) <= 5

def test_volumes(tmp_path):
    rng = np.random.default_rng(0)
    aff = np.diag([-2, 2, 2, 1.])
    aff[0, 3] = 5
    x = rng.normal(size=(6, 5, 4, 12)).astype('f4')
    m = rng.random((6, 5, 4)) > .5
    img = nib.Nifti1Image(x, aff)
    img.header.set_zooms((2, 2, 2, 1.5))
    img.header.set_xyzt_units('mm', 'sec')
    nib.save(img, tmp_path/'r.nii.gz')
    nib.save(nib.Nifti1Image(m.astype('u1'), aff), tmp_path/'m.nii')
    r = fmri.open_volume_run(tmp_path/'r.nii.gz', tmp_path/'m.nii')
    assert np.array_equal(
        r.rows(3, 9),
        x[m][3:9]) and r.volumes == 12 and abs(r.tr - 1.5) < 1e-6 and (r.gray.column
                                                                       == np.flatnonzero(m)).all()
    assert ((r.gray.hemisphere == 'L') == (5 - 2*np.unravel_index(r.gray.column, m.shape)[0]
                                           < 0)).all()
    far = np.eye(4)
    far[:3, 3] = 500
    nib.save(nib.Nifti1Image(m.astype('u1'), far), tmp_path/'m2.nii')
    nib.save(nib.Nifti1Image(m.astype('u1')*0, aff), tmp_path/'m3.nii')
    (tmp_path/'bad.nii').write_bytes(b'abc')
    for run, mask, says in (('r.nii.gz', 'm2.nii', '0% of the mask'),
                            ('r.nii.gz', 'm3.nii', 'empty'), ('bad.nii', 'm.nii', 'readable NIfTI'),
                            ('none.nii', 'm.nii', 'not found'), ('m.nii', 'm.nii', 'Not a 4D')):
        with pytest.raises(SemvideoError, match=says):
            fmri.open_volume_run(tmp_path/run, tmp_path/mask)

@pytest.mark.parametrize('axis', [0, 1, 2])
def test_a_mask_on_another_grid_is_brought_to_the_run(tmp_path, axis):
    """The same mask stored with an axis reversed, and the same run with a fifth axis of one: the same
    series."""
    rng = np.random.default_rng(1)
    aff = np.diag([3., 3, 3, 1])
    x = rng.normal(size=(6, 5, 4, 12)).astype('f4')
    m = rng.random((6, 5, 4)) > .5
    flip = np.eye(4)
    flip[axis, axis] = -1
    flip[axis, 3] = m.shape[axis]-1
    save = lambda a, f, name: nib.save(nib.Nifti1Image(a, f), tmp_path/name)
    save(x, aff, 'r.nii.gz')
    save(x[..., None, :], aff, 'between.nii.gz')
    save(x[..., None], aff, 'behind.nii.gz')
    save(m.astype('u1'), aff, 'm.nii')
    save(np.flip(m, axis).astype('u1'), aff@flip, 'turned.nii')
    want = fmri.open_volume_run(tmp_path/'r.nii.gz', tmp_path/'m.nii')
    got = fmri.open_volume_run(tmp_path/'r.nii.gz', tmp_path/'turned.nii')
    assert 'turned.nii resampled' in got.note
    assert np.array_equal(got.rows(), want.rows()) and (got.gray.hemisphere
                                                        == want.gray.hemisphere).all()
    for name in ('between.nii.gz', 'behind.nii.gz'):
        r = fmri.open_volume_run(tmp_path/name, tmp_path/'m.nii')
        assert r.volumes == 12 and np.array_equal(r.rows(), want.rows())

def test_label_files_are_read_by_name_not_key(tmp_path):
    "A label file with keys the other way round (1-180 right), in HCP's own naming."
    ax = axis()
    n = fmri.mmp_labels()
    names = sorted(set(n['L'][np.arange(60)*3]) | set(n['R'][np.arange(60)*5]))
    key = {
        ('R', a): i + 1
        for i, a in enumerate(names)
    } | {
        ('L', a): i + 201
        for i, a in enumerate(names)
    }
    table = {
        0: ('???', (0, 0, 0, 0))
    } | {
        k: (f'{h}_{a}_ROI' if a else '???', (0, 0, 0, 1))
        for (h, a), k in key.items()
    }
    keys = [key['L', a]
            for a in n['L'][np.arange(60)*3]] + [key['R', a] for a in n['R'][np.arange(60)*5]]
    p = tmp_path/'a.dlabel.nii'
    nib.save(nib.Cifti2Image(np.array([keys], 'f4'), (LabelAxis(['x'], [table]), ax)), p)
    hem, ver = np.repeat(['L', 'R'], 60), np.r_[np.arange(60)*3, np.arange(60)*5]
    assert (fmri.parcels(hem, ver, p) == fmri.parcels(hem, ver)).all() and (fmri.parcels(
        hem, ver, None) == '').all()
    with pytest.raises(SemvideoError, match='different meshes'):
        fmri.parcels(hem, ver, mesh=59292)
    with pytest.raises(SemvideoError, match='label file'):
        fmri.parcels(hem, ver, tmp_path/'no.dlabel.nii')
