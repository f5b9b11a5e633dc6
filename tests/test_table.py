"""160_table: own data as CIFTI and as NIfTI, and tables that are wrong."""
import numpy as np
import pandas as pd
import pytest
from semvideo import datasets as D, fmri
from semvideo.core import SemvideoError
from data_help import KW, row


def test_own_data_as_cifti_and_as_nifti_agree(own_films, tmp_path):
    kw = dict(KW, method='topk', k=40)
    a = D.prepare_table(own_films/'runs.csv', tmp_path/'a', **kw)
    b = D.prepare_table(own_films/'nifti.csv', tmp_path/'b', mask=own_films/'mask.nii.gz', **kw)
    assert a.subjects == ['amy'] and len(a.select('train')) == 60 and len(
        a.select('test')) == 40 and (a.clips.duration_s == 1.5).all()
    va, vb = a.voxels('amy'), b.voxels('amy')
    assert (va.grayordinate < 40).sum() >= 36 and (vb.grayordinate - 10
                                                   == va.grayordinate).all() and set(
                                                       vb.hemisphere) == {'L', 'R'}
    assert np.allclose(a.fmri('amy', 'train'), b.fmri('amy', 'train'), atol=1e-5)
    pos = D.volume_positions(3, 1.5, np.arange(60)*1.5, 1.5, 4.)
    assert pos[0] == pytest.approx((3 + .75 + 4)/1.5 - .5)
    assert D.volume_positions(0, 2, np.array([0., 2.]), 2., 4.).tolist() == [2, 3]


def test_interpolates_between_volumes():
    class R:
        path, volumes = 'x', 40
        gray = None
    t = np.sin(np.arange(40)/5).astype('f4')
    R.rows = lambda self, lo=0, hi=None: np.stack([t, 2*t])
    seg = D.Segment('s', 'train', None, 's',
                    np.arange(10.)*3, 3., at=D.VolumesAt({'x': (0., 2.)},
                                                         np.arange(10)*3., 3., 4.))
    y = D.clean_series(seg, R(), D.PrepareConfig(poly=1))[0]
    z = fmri.clean_rows(R().rows(), 1)[0][0]
    assert np.allclose(y[0], np.interp(seg.at(R()), np.arange(40), z), atol=1e-5)


@pytest.mark.parametrize('change,says', [
    (lambda t: t.rename(columns=dict(onset_s='onsets')), "rename 'onsets' to 'onset_s'"), (lambda t: t.rename(columns=dict(movie='moive')), "rename 'moive' to 'movie'"), (lambda t: t.drop(columns='split'), "add 'split'"),
    (lambda t: t.assign(onset_s=['3', 'x', '3', '3']), 'row 3: x'), (lambda t: t.assign(run=['no.dtseries.nii', *t.run[1:]]), 'File of row 2 not found'), (lambda t: t.assign(tr_s=2.), 'header 1.5 s'),
    (lambda t: t.assign(repeat=1), 'listed twice'), (lambda t: t.assign(split='test'), 'No training split'), (lambda t: t[:0], 'empty'), (lambda t: t.assign(seconds=200), 'Movie is shorter'),
    (lambda t: t.assign(onset_s=60), 'Run is shorter'), (lambda t: t.assign(onset_s=-60), 'reach beyond the run'), (lambda t: t.assign(run=t.run.str.replace('dtseries.nii', 'nii.gz')), 'needs a mask')])
def test_bad_tables(own_films, tmp_path, change, says):
    p = own_films/f'bad{abs(hash(says))}.csv'
    change(pd.read_csv(own_films/'runs.csv')).to_csv(p, index=False)
    with pytest.raises(SemvideoError, match='.*') as e:
        D.prepare_table(p, tmp_path/'s', **KW)
    assert says in str(e.value)
    p.unlink()


def test_the_same_film_in_two_splits_is_caught(own_films, tmp_path):
    t = pd.read_csv(own_films/'runs.csv')
    t = pd.concat([t, t[:2].assign(split='test')])
    t.to_csv(own_films/'twice.csv', index=False)
    d = D.leak_audit(D.prepare_table(own_films/'twice.csv', tmp_path/'s', **KW), save=False)
    (own_films/'twice.csv').unlink()
    assert row(d, 'same stimulus').status == 'leak' and row(
        d, 'same stimulus')['count'] == 60 and row(d, 'identical').status == 'leak'
