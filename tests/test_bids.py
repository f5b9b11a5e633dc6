"""165_bids: a derivative of fMRIPrep in each of its kinds, confounds as nilearn takes them, and trees that are wrong."""
import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from semvideo import bids, datasets as D, fmri, video
from semvideo.core import SemvideoError
from tree import brain

KW = dict(method='topk', k=20, blocks=8, n_frames=2, size=16, workers=1)
TR, T = 1.5, 130
AFFINE = np.diag([-2., 2, 2, 1])
AFFINE[:3, 3] = 8, -8, -8


def confounds_table(rng, n=T):
    head = rng.standard_normal((n, 6)).cumsum(0)
    out = {}
    for axis, h in zip(['trans_x', 'trans_y', 'trans_z', 'rot_x', 'rot_y', 'rot_z'], head.T):
        d = np.r_[np.nan, np.diff(h)] # n/a in the first row, as fMRIPrep writes it
        out |= {axis: h, f'{axis}_derivative1': d, f'{axis}_power2': h**2, f'{axis}_derivative1_power2': d**2}
    out |= {k: rng.standard_normal(n) for k in ('white_matter', 'csf', 'global_signal')}
    out |= {f'cosine{i:02d}': np.cos(np.pi*(np.arange(n) + .5)*(i + 1)/n) for i in range(3)}
    return pd.DataFrame(out), head


def write_json(path, **said): path.write_text(json.dumps(said))


def write_gifti(path, series):
    arrays = [nib.gifti.GiftiDataArray(v.astype('f4'), intent='NIFTI_INTENT_TIME_SERIES', meta=dict(TimeStep=str(1000*TR)))
              for v in series]
    nib.save(nib.gifti.GiftiImage(darrays=arrays), path)


def write_volume(path, x, inside): # (T,V), (x,y,z) bool
    vol = np.zeros((*inside.shape, len(x)), 'f4')
    vol[inside] = x.T
    img = nib.Nifti1Image(vol, AFFINE)
    img.header.set_zooms((2, 2, 2, TR))
    img.header.set_xyzt_units('mm', 'sec')
    nib.save(img, path)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "Two subjects, two sessions, two films; every run as CIFTI, as surfaces and as a volume with one series."
    root = tmp_path_factory.mktemp('bids')/'study'
    done, rng = root/'derivatives/fmriprep', np.random.default_rng(0)
    (root/'stimuli').mkdir(parents=True)
    hemisphere, vertex = brain()
    V = len(vertex)
    inside = np.zeros((8, 8, 8), bool)
    inside.reshape(-1)[200:200 + V] = True
    write_json(root/'dataset_description.json', Name='films', BIDSVersion='1.8.0', DatasetType='raw')
    series = {}
    for i, task in enumerate(('movie', 'test')):
        video.write_video(root/f'stimuli/{task}.mp4', rng.integers(0, 255, (760, 16, 24, 3), dtype=np.uint8), 4)
        for sub in ('01', '02'):
            signal = np.random.default_rng([i, int(sub)]).standard_normal((T, V))
            signal[:, V//2:] = 0
            for ses in ('a', 'b'):
                name, place = f'sub-{sub}_ses-{ses}_task-{task}', f'sub-{sub}/ses-{ses}/func'
                for base in (root, done): (base/place).mkdir(parents=True, exist_ok=True)
                rows = [dict(onset=0., duration=3., trial_type='fixation', stim_file='n/a'),
                        dict(onset=4.5, duration=180., trial_type='film', stim_file=f'{task}.mp4')]
                pd.DataFrame(rows).to_csv(root/place/f'{name}_events.tsv', sep='\t', index=False)
                table, head = confounds_table(rng)
                table.to_csv(done/place/f'{name}_desc-confounds_timeseries.tsv', sep='\t', index=False, na_rep='n/a')
                x = 900 + 6*head[:, :1] + signal + .3*rng.standard_normal((T, V))
                series[sub, ses, task] = x
                said = dict(RepetitionTime=TR, StartTime=TR/2, SkullStripped=False)
                fmri.write_run(done/place/f'{name}_space-fsLR_den-91k_bold.dtseries.nii', x, hemisphere, vertex, tr=TR)
                write_json(done/place/f'{name}_space-fsLR_den-91k_bold.json', **said)
                for hemi in 'LR':
                    part = x[:, :V//2] if hemi == 'L' else x[:, V - V//2:]
                    write_gifti(done/place/f'{name}_hemi-{hemi}_space-fsaverage5_bold.func.gii', part)
                    write_json(done/place/f'{name}_hemi-{hemi}_space-fsaverage5_bold.json', **said)
                volume = f'{name}_space-MNI152NLin2009cAsym_desc'
                write_volume(done/place/f'{volume}-preproc_bold.nii.gz', x, inside)
                write_json(done/place/f'{volume}-preproc_bold.json', **said)
                own = inside.copy()
                own.reshape(-1)[200 if ses == 'a' else 201] = False # each run its own mask
                nib.save(nib.Nifti1Image(own.astype('u1'), AFFINE), done/place/f'{volume}-brain_mask.nii.gz')
    write_json(done/'dataset_description.json', Name='fMRIPrep', BIDSVersion='1.4.0', DatasetType='derivative')
    return root, series, inside


@pytest.fixture
def root(made, tmp_path): return shutil.copytree(made[0], tmp_path/'study')


def test_the_three_kinds_give_the_same_series(made, tmp_path):
    root, series, inside = made
    cifti = D.prepare_bids(root, tmp_path/'c', **KW)
    volume = D.prepare_bids(root, tmp_path/'v', space='MNI152NLin2009cAsym', **KW)
    surface = D.prepare_bids(root/'derivatives/fmriprep', tmp_path/'s', space='fsaverage5', **KW)
    assert cifti.subjects == volume.subjects == [1, 2] and cifti.fmri(1, 'train').shape[1] == 2
    assert len(cifti.select('train')) == 120 and (cifti.clips.duration_s == TR).all()
    c, v = cifti.voxels(1), volume.voxels(1)
    answering = set(range(len(inside.nonzero()[0])//2))
    assert set(c.grayordinate) <= answering # and not those that only move with the head
    # the two masks share all voxels but the first two
    assert set(v.grayordinate + 2) <= answering
    both = sorted(set(c.grayordinate) & set(v.grayordinate + 2))
    a = cifti.fmri(1, 'train')[..., [list(c.grayordinate).index(g) for g in both]]
    b = volume.fmri(1, 'train')[..., [list(v.grayordinate + 2).index(g) for g in both]]
    assert len(both) > 10 and np.allclose(a, b, atol=1e-4)
    assert set(surface.voxels(2).hemisphere) == {'L'} and c.parcel.str.len().max() > 0


def test_confounds_are_regressed_as_nilearn_regresses_them(made):
    "And our polynomials with them, in one step."
    from nilearn import signal
    from nilearn.interfaces.fmriprep import load_confounds
    root, series, _ = made
    run = root/'derivatives/fmriprep/sub-01/ses-a/func/sub-01_ses-a_task-movie_space-fsLR_den-91k_bold.dtseries.nii'
    theirs, _ = load_confounds(str(run), strategy=('motion', 'wm_csf'))
    ours = bids.read_confounds(run, ('motion', 'wm_csf'))
    assert ours.shape == (T, 26) and np.allclose(ours, theirs)
    x = series['01', 'a', 'movie'].astype('f4')
    drifts = np.polynomial.legendre.legvander(np.linspace(-1, 1, T), 4)[:, 1:]
    want = signal.clean(x.astype(float), confounds=np.c_[theirs, drifts], detrend=False, filter=False, standardize=None)
    want = (want - want.mean(0))/want.std(0)
    got = fmri.clean_rows(bids.regress_out(x.T, ours), 4)[0].T
    assert np.allclose(got, want, atol=2e-3)
    left = np.linalg.lstsq(np.c_[np.ones(T), ours, drifts], got, rcond=None)[0]
    assert np.abs(np.c_[np.ones(T), ours, drifts] @ left).max() < 1e-3


@pytest.mark.parametrize('poly', [1, 4])
def test_clean_run_is_what_nilearn_does(poly):
    from nilearn import signal
    x = 1000 + 5*np.random.default_rng(0).standard_normal((120, 40)).cumsum(0)
    drifts = np.polynomial.legendre.legvander(np.linspace(-1, 1, 120), poly)[:, 1:]
    theirs = signal.clean(x, confounds=drifts, detrend=False, filter=False, standardize='zscore_sample')
    ours = fmri.clean_run(x, n_keep=None, poly=poly, ddof=1)
    assert np.abs(ours - theirs).max() < 2e-3
    if poly == 1: assert np.abs(ours - signal.clean(x, detrend=True, filter=False, standardize='zscore_sample')).max() < 2e-3


def test_a_volume_is_masked_as_nilearn_masks_it(made):
    from nilearn.maskers import NiftiMasker
    root, series, inside = made
    run = root/'derivatives/fmriprep/sub-01/ses-a/func/sub-01_ses-a_task-movie_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz'
    mask = root/'whole.nii.gz'
    nib.save(nib.Nifti1Image(inside.astype('u1'), AFFINE), mask)
    theirs = NiftiMasker(str(mask), standardize=None).fit().transform(str(run)).T
    assert np.allclose(fmri.open_volume_run(run, mask).rows(), theirs)
    mask.unlink()


def test_an_atlas_names_the_voxels_of_a_volume(root, tmp_path):
    "On a coarser grid than the runs, with its table beside it."
    labels = np.ones((6, 6, 6), 'i2')
    labels[3:] = 2
    grid = np.diag([-4., 4, 4, 1])
    grid[:3, 3] = 11, -11, -11
    nib.save(nib.Nifti1Image(labels, grid), root/'atlas_dseg.nii.gz')
    pd.DataFrame(dict(index=[1, 2], name=['V1', 'MT'])).to_csv(root/'atlas_dseg.tsv', sep='\t', index=False)
    s = D.prepare_bids(root, tmp_path/'s', space='MNI152NLin2009cAsym', atlas=root/'atlas_dseg.nii.gz', **dict(KW, method='all'))
    v = s.voxels(1)
    x = np.unravel_index(v.vertex if 'vertex' in v else v.grayordinate, (8, 8, 8))[0]
    assert set(v.parcel) == {'V1', 'MT'} and ((v.parcel == 'MT') == (x >= 4)).all()


def test_other_clips_and_a_moment_of_slices(root, tmp_path):
    "StartTime moves what a volume stands for: as much as an onset that is as much earlier."
    at = {}
    for moment in (0., TR/2):
        for p in root.glob('derivatives/**/*91k_bold.json'): write_json(p, RepetitionTime=TR, StartTime=moment)
        opener = bids.BidsOpener((), 4)
        t = bids.bids_table(root, bids.bids_runs(bids.find_derivatives(root)), opener, ())
        at[moment] = t.onset_s.iloc[0]
    assert at[TR/2] == 4.5 and at[0.] == 4.5 + TR/2
    s = D.prepare_bids(root, tmp_path/'s', clip_s=3., confounds=['none'], subjects=['02'], **KW)
    assert s.subjects == [2] and (s.clips.duration_s == 3).all()


def only(root, pattern): return sorted(root.rglob(pattern))


def change(file, f): file.write_text(f(file.read_text()))


def wrong_length(root):
    for p in only(root, '*confounds*.tsv'): change(p, lambda t: '\n'.join(t.splitlines()[:-3]) + '\n')


WRONG = {
    'no derivatives': (lambda r: shutil.rmtree(r/'derivatives'), 'No derivatives there'),
    'several': (lambda r: shutil.copytree(r/'derivatives/fmriprep', r/'derivatives/xcp'), '--derivatives fmriprep'),
    'no events': (lambda r: only(r, '*ses-b*test*events.tsv')[0].unlink(), 'No events of a run'),
    'no stim_file': (lambda r: change(only(r, '*movie*events.tsv')[0], lambda t: t.replace('stim_file', 'file')), 'no column stim_file'),
    'no film': (lambda r: change(only(r, '*movie*events.tsv')[0], lambda t: t.replace('movie.mp4', 'face.png')), 'Events name no film'),
    'film missing': (lambda r: (r/'stimuli/test.mp4').unlink(), 'Film of an event not found'),
    'no duration': (lambda r: change(only(r, '*movie*events.tsv')[0], lambda t: t.replace('180.0', 'n/a')), 'without onset or duration'),
    'no confounds': (lambda r: only(r, '*confounds*.tsv')[0].unlink(), 'Confounds of a run cannot be read'),
    'a column missing': (lambda r: change(only(r, '*confounds*.tsv')[0], lambda t: t.replace('white_matter', 'wm')), 'Confounds of a run cannot be read'),
    'rows missing': (wrong_length, '127 rows'),
    'wrong TR': (lambda r: write_json(only(r, '*91k_bold.json')[0], RepetitionTime=2.), 'TR of header and JSON differ'),
    'bad JSON': (lambda r: only(r, '*91k_bold.json')[0].write_text('{'), 'Not a readable JSON'),
    'film longer': (lambda r: [change(p, lambda t: t.replace('180.0', '300')) for p in only(r, '*events.tsv')], 'Movie is shorter than its runs'),
    'run shorter': (lambda r: [change(p, lambda t: t.replace('4.5', '60')) for p in only(r, '*events.tsv')], 'Run is shorter than its movie')}


@pytest.mark.parametrize('what', WRONG)
def test_trees_that_are_wrong(root, tmp_path, what):
    do, says = WRONG[what]
    do(root)
    with pytest.raises(SemvideoError) as e: D.prepare_bids(root, tmp_path/'s', **KW)
    assert says in str(e.value) and str(e.value).count('\n') < 8


@pytest.mark.parametrize('kw,says', [
    (dict(test=['nothing']), 'No such film or task'), (dict(test=['movie', 'test']), 'Which films are for testing?'),
    (dict(space='fsaverage'), 'No runs in space fsaverage'), (dict(subjects=['9']), 'Subject not found'), (dict(confounds=['compcor']), 'Confounds of a run'),
    (dict(confounds=['pulse']), 'Unknown confounds'), (dict(derivatives='xcp'), 'No derivatives there')])
def test_settings_that_are_wrong(made, tmp_path, kw, says):
    with pytest.raises(SemvideoError) as e: D.prepare_bids(made[0], tmp_path/'s', **KW | kw)
    assert says in str(e.value)


def test_a_surface_without_its_right_side_and_a_volume_without_its_mask(root, tmp_path):
    only(root, '*hemi-R*.func.gii')[0].unlink()
    only(root, '*brain_mask*')[0].unlink()
    for space, says in (('fsaverage5', 'Right hemisphere'), ('MNI152NLin2009cAsym', 'Brain mask of a run not found')):
        with pytest.raises(SemvideoError, match=says): D.prepare_bids(root, tmp_path/space, space=space, **KW)


def test_confounds_replaced_are_seen(root, tmp_path):
    "The study knows the confounds it was made with."
    D.prepare_bids(root, tmp_path/'s', **KW)
    p = only(root, '*confounds*.tsv')[0]
    confounds_table(np.random.default_rng(9))[0].to_csv(p, sep='\t', index=False, na_rep='n/a')
    with pytest.raises(SemvideoError): D.prepare_bids(root, tmp_path/'s', **KW)


def test_by_the_command(made, tmp_path, capsys):
    from semvideo.cli import main
    words = ['prepare', '--dataset', 'bids', '--root', str(made[0]), '--study', str(tmp_path/'s'), '--method', 'topk', '--k', '20',
             '--blocks', '8', '--test', 'test', '--confounds', 'motion', '--frames', '2', '--size', '16', '--lag-s', '4']
    assert not main(words)
    from semvideo.core import Study
    assert Study(tmp_path/'s').settings_of('prepare')['extra']['confounds'] == ['motion']
    assert main([*words, '--split', 'random'])


def test_too_many_confounds_say_which_would_be_fewer():
    "What is advised is never what was given."
    from semvideo.bids import _fewer_confounds
    assert "--confounds motion" in _fewer_confounds(("motion", "wm_csf"))
    assert "motion" not in _fewer_confounds(("motion",)) and "--confounds none" in _fewer_confounds(("motion",))
