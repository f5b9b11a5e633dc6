"""110_runs, 112_volumes, 125_parcels: files as nibabel reads them, masks on another grid, files that are wrong."""
import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis, SeriesAxis
from semvideo import fmri
from semvideo.core import SemvideoError
from runs_help import noise


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
