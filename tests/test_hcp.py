"""164_hcp: counts, lag, montage, random split, versions of the films, runs that broke off."""
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import tree as T
from semvideo import datasets as D, fmri
from semvideo.core import SemvideoError
from data_help import row


def test_hcp_counts_lag_and_montage(hcp, tmp_path):
    s = D.prepare_hcp(hcp, tmp_path/'s', (100610,), n_frames=2, size=16)
    c = s.clips
    assert len(c) == 3040 and c.groupby(
        c.segment.str[:6]).size().tolist() == [728, 792, 745, 775] and (c.duration_s == 1).all()
    assert len(s.select('test')) == 304 and set(
        s.select('test').segment) == {'movie1_5', 'movie2_4', 'movie3_5', 'movie4_4'}
    v = s.voxels(100610)
    assert set(v.parcel) == set(fmri.VISUAL_AREAS) and len(v) == 2*12*4
    sig = T.signal(900 + 20, len(T.hcp_brain()[1]), len(T.hcp_brain()[1]),
                   [100610, 1])[26 + 4:231 + 4][:, v.grayordinate]
    got = s.fmri(100610, 'train')[:205, 0]
    assert np.mean([np.corrcoef(sig[:, j], got[:, j])[0, 1] for j in range(len(v))]) > .6
    d = pd.read_csv(s.path/'leak_audit.csv')
    rep = d[d.check.str.startswith('repeated')]
    ends = ['movie1_5', 'movie2_4', 'movie3_5', 'movie4_4']
    montage = rep[rep.check.isin(
        [f'repeated stimulus, {x} and {y}' for i, x in enumerate(ends) for y in ends[i + 1:]])]
    assert len(montage) == 6 and (rep.status == 'grouped').all() and row(
        d, 'identical').status == 'ok' and row(d, 'near-dup').status == 'ok'


def test_hcp_random_split_leaks_and_the_audit_says_so(hcp, tmp_path):
    s = D.prepare_hcp(hcp, tmp_path/'s', (100610,), n_frames=2, size=16, split='random')
    assert len(s.clips) == 3040 and len(s.select('test')) == 304 and s.clips.clip_id.is_unique
    d = pd.read_csv(s.path/'leak_audit.csv')
    leak = row(d, 'near-duplicate')['count'] + row(d, 'identical')['count']
    assert leak >= 15 and row(
        d, 'neighbours').status == 'warn' and (d[d.check.str.startswith('repeated')].status
                                               == 'leak').any()


def test_hcp_stimulus_version(hcp, tmp_path):
    with pytest.raises(SemvideoError, match='not known'): D.hcp_version((999999,))
    with pytest.raises(SemvideoError, match='post-August-2014 version not found') as e:
        D.prepare_hcp(hcp, tmp_path/'s', (100610,), stimulus='post')
    assert "stimulus='pre'" in str(e.value)
    for bad in (dict(stimulus='v3'), dict(split='odd')):
        with pytest.raises(SemvideoError, match='Unknown'):
            D.prepare_hcp(hcp, tmp_path/'s', (100610,), **bad)


def test_hcp_run_that_broke_off(hcp, tmp_path):
    import nibabel as nib
    shutil.copytree(
        hcp, tmp_path/'h', copy_function=lambda a, b: os.link(a, b)
        if a.endswith('.mp4') else shutil.copy2(a, b))
    p = next((tmp_path/'h').rglob('tfMRI_MOVIE3*.dtseries.nii'))
    hem, ver = T.hcp_brain()
    fmri.write_run(p, np.asarray(nib.load(p).dataobj)[:890].copy(), hem, ver, tr=1.)
    with pytest.raises(SemvideoError, match='shorter than its clips') as e:
        D.prepare_hcp(tmp_path/'h', tmp_path/'s', (100610,), n_frames=1, size=8)
    assert 'MOVIE3' in str(e.value) and '898' in str(e.value) and not (tmp_path/'s/fmri').exists()
    p.unlink()
    with pytest.raises(SemvideoError, match='HCP run 3 of subject 100610 not found'):
        D.prepare_hcp(tmp_path/'h', tmp_path/'t', (100610,), n_frames=1, size=8)


@pytest.mark.parametrize('names,want', [(['', '_MSMAll'], '_MSMAll'), (['_1.6mm_MSMAll_hp2000_clean', '_hp2000_clean'], '_hp2000_clean'), (['_1.6mm'], '_1.6mm'), (['_MSMAll', '_MSMAll_hp2000_clean'], '_MSMAll_hp2000_clean')])
def test_hcp_names(tmp_path, names, want):
    for n in names: (tmp_path/f'tfMRI_MOVIE2_7T_PA_Atlas{n}.dtseries.nii').write_text('')
    (tmp_path/'tfMRI_MOVIE2_7T_PA_Atlas_mean.dscalar.nii').write_text('')
    assert next(iter(D.hcp_run_file(tmp_path, 2))) == want


def test_hcp_all_vertices(tmp_path):
    "The twelve areas on the whole mesh: 5,820."
    n = fmri.mmp_labels()
    hem = np.repeat(['L', 'R'], 32492)
    names = np.concatenate([n['L'], n['R']])
    assert D.candidates(
        fmri.Grayordinates(np.arange(64984), hem, np.tile(np.arange(32492), 2), 64984, 32492, ''),
        names, D.PrepareConfig(areas=fmri.VISUAL_AREAS)).sum() == 5820
