"""Whole preparations on small trees: planted voxels, resume after a kill, planted leaks, and every kind
of bad input."""
import os, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path
import nibabel as nib, numpy as np, pandas as pd, pytest
sys.path.insert(0, str(Path(__file__).parent))
import tree as T
from semvideo import datasets as D, fmri, video
from semvideo.core import SemvideoError, Study, file_sha256, write_npy

KW = dict(n_frames=2, size=16, workers=2)

@pytest.fixture(scope='session')
def cc(tmp_path_factory):
    return T.cc2017(tmp_path_factory.mktemp('cc'), subjects=(1, 3),
                    top='Subject01/video_fmri_dataset')

@pytest.fixture(scope='session')
def study(cc, tmp_path_factory):
    return D.prepare_cc2017(cc, tmp_path_factory.mktemp('s')/'study', (1,), **KW)

@pytest.fixture
def tree(cc, tmp_path):
    "A copy of the tree that a test may damage; films are linked."
    shutil.copytree(
        cc, tmp_path/'cc', copy_function=lambda a, b: os.link(a, b)
        if a.endswith('.mp4') else shutil.copy2(a, b))
    return tmp_path/'cc'

def path(root, name, r, s=1):
    return T.run_path(root/'Subject01/video_fmri_dataset', s, name, r)
def rewrite(p, f, tr=2., **kw):
    x = np.asarray(nib.load(p).dataobj).copy()
    hem, ver = T.brain()
    fmri.write_run(p, f(x), kw.get('hem', hem), kw.get('ver', ver), tr)
def sums(study):
    return {
        p.relative_to(study.path).as_posix(): file_sha256(p)
        for p in sorted(study.path.rglob('*'))
        if p.is_file()
    }

# ---- CC2017
def test_shapes_and_names(study):
    assert study.splits == ['train', 'test'] and study.subjects == [1] and len(study.clips) == 5*240
    assert study.frames('train').shape == (720, 2, 16, 16,
                                           3) and study.frames('test').dtype == np.uint8
    tr, te, v = study.fmri(1, 'train'), study.fmri(1, 'test'), study.voxels(1)
    assert tr.shape == (720, 2, len(v)) and te.shape == (
        480, 3, len(v)) and tr.dtype == np.float32 and np.isfinite(te).all()
    for k in range(3):
        z = tr[k*240:(k + 1)*240]
        assert np.abs(z.mean(0)).max() < 1e-4 and np.abs(z.std(0) - 1).max() < 1e-4
    assert study.clip_ids('test')[240] == 'test2_000' and study.clips.onset_s.max() == 478 and (
        study.path/'leak_audit.csv').is_file()

def test_planted_voxels_are_found_and_named(study):
    v = study.voxels(1)
    hem, ver = T.brain()
    assert set(range(40)) <= set(v.grayordinate) and len(v) <= 42
    assert (v.vertex == ver[v.grayordinate]).all() and (
        v.hemisphere == hem[v.grayordinate]).all() and (v.parcel == fmri.parcels(
            v.hemisphere, v.vertex)).all()
    assert abs(v.reliability[:40].mean() - .5) < .05

def test_each_volume_sits_beside_its_clip(study):
    v = study.voxels(1); i = v.grayordinate < 40
    for name,split,k,code in (('seg2', 'train', 1, 2), ('test1', 'test', 0, 101), ('test2', 'test', 1, 102)):  # 245 and 246 volumes
        first = 1 if name != 'test2' else 2; T0 = 244 + first
        want = T.signal(246, len(T.brain()[1]), 40,
                        code)[246 - T0:][first:first + 240][:, v.grayordinate[i]]
        got = np.asarray(study.fmri(1, split)[k*240:(k + 1)*240]).mean(1)[:, i]
        r = [np.corrcoef(want[:, j], got[:, j])[0, 1] for j in range(i.sum())]
        assert np.mean(r) > .7

def test_frames_are_the_movies(study, cc):
    p = D.find_dir(cc, 'stimuli', '*.mp4')/'seg2.mp4'
    assert (study.frames('train')[240 + 17] == video.read_clip(p, 34, 2, 2, size=16)).all()

def test_same_bytes_for_any_number_of_workers_and_again(cc, study, tmp_path):
    again = D.prepare_cc2017(cc, tmp_path/'s', (1,), **{**KW, 'workers': 1})
    assert sums(again) == sums(study)
    t = {p: p.stat().st_mtime_ns for p in again.path.rglob('*') if p.is_file()}
    D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW)
    assert t == {p: p.stat().st_mtime_ns for p in again.path.rglob('*') if p.is_file()}

@pytest.mark.parametrize('after', ['frames/train.npy', 'fmri/sub-1/train.npy'])
def test_killed_and_started_again_ends_with_the_same_bytes(cc, study, tmp_path, after):
    code = f'from semvideo import datasets as D; D.prepare_cc2017({str(cc)!r}, {str(tmp_path/"s")!r}, (1,), n_frames=2, size=16, workers=1)'
    p = subprocess.Popen([sys.executable, '-c', code], env=dict(os.environ, SEMVIDEO_QUIET='1'))
    end = time.time() + 120
    while not (tmp_path/'s'/after).exists() and time.time() < end and p.poll() is None:
        time.sleep(.002)
    p.send_signal(signal.SIGKILL)
    p.wait()
    assert (tmp_path/'s'/after).exists()
    assert sums(D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW)) == sums(study)

def test_other_settings_are_refused(cc, study):
    for kw in (dict(alpha=.01), dict(n_frames=3)):
        with pytest.raises(SemvideoError, match='Another study|other settings'):
            D.prepare_cc2017(cc, study.path, (1,), **{**KW, **kw})
    with pytest.raises(SemvideoError, match="did you mean 'alpha'"):
        D.prepare_cc2017(cc, study.path, (1,), alhpa=.01, **KW)

@pytest.mark.parametrize('kw,says', [(dict(method='bonferoni'), 'Unknown method'), (dict(tail='less'), 'Unknown tail'), (dict(scale='trian'), 'Unknown scale'), (dict(bad_runs='skpi'), 'Unknown bad_runs'), (dict(fit='stretch'), 'Unknown fit'),
                                     (dict(average=('tset',)), 'Cannot average'), (dict(average='test'), 'Cannot average'), (dict(method='topk'), 'topk needs k'), (dict(alpha=1.5), 'alpha is no level'), (dict(alpha=0), 'alpha is no level')])
def test_a_wrong_setting_is_refused_before_anything_is_written(cc, tmp_path, kw, says):
    with pytest.raises(SemvideoError, match=says):
        D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW, **kw)
    with pytest.raises(SemvideoError, match='No subject'):
        D.prepare_cc2017(cc, tmp_path/'s', (), **KW)
    assert not (tmp_path/'s').exists()

def test_missing_and_known_bad_repeats(cc, tree, tmp_path):
    path(tree, 'test1', 2, 3).unlink()
    path(tree, 'seg1', 1, 3).unlink()
    s = D.prepare_cc2017(tree, tmp_path/'s', (3,), **KW)
    te, tr = s.fmri(3, 'test'), s.fmri(3, 'train')
    rep = pd.read_csv(s.path/'prepare/runs-3.csv').set_index(['segment', 'repeat'])
    assert np.isnan(te[:240, 1]).all() and np.isfinite(te[240:]).all() and np.isfinite(
        te[:240, [0, 2]]).all() and np.isnan(tr[:240, 0]).all() and np.isfinite(tr[:240, 1]).all()
    assert rep.status['test1', 2] == 'missing' and rep.status['seg1', 1] == 'missing' and (
        rep.status == 'used').sum() == 10
    assert (3, 'test2', 9) in D.KNOWN_BAD
    segs = D.cc2017_segments(tree, (3,))
    runs, rep = D.open_subject(segs, 3, D.PrepareConfig(), known_bad={(3, 'test2', 3): 'why'})
    assert ('test2', 3) not in runs and rep.note[(rep.segment == 'test2')
                                                 & (rep['repeat'] == 3)].item() == 'why'

def test_an_average_goes_on_without_a_missing_repeat(tree, study, tmp_path):
    path(tree, 'test1', 2).unlink()
    path(tree, 'seg1', 1).unlink()
    s = D.prepare_cc2017(tree, tmp_path/'s', (1,), average=('train', 'test'), **KW)
    te, tr = s.fmri(1, 'test'), s.fmri(1, 'train')
    assert te.shape[:2] == (480, 1) and tr.shape[:2] == (
        720, 1) and np.isfinite(te).all() and np.isfinite(tr).all()
    # planted vertices, in both
    i, j = (np.searchsorted(x.voxels(1).grayordinate, np.arange(20)) for x in (s, study))
    assert np.allclose(te[:240, 0, i],
                       study.fmri(1, 'test')[:240][:, [0, 2]][:, :, j].mean(1),
                       atol=1e-5) and np.array_equal(tr[:240, 0, i],
                                                     study.fmri(1, 'train')[:240, 1][:, j])

def test_a_simulated_tree_is_not_called_cc2017(tree, study, tmp_path):
    (tree/'truth').mkdir()
    (tree/D.MINIATURE_MARK).write_text('{}')
    s = D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW)
    m = s.manifest
    assert m['name'] == 'miniature' and 'simulated' in m['source'] and 'Wen' not in m[
        'source'] and study.manifest[
            'name'] == 'cc2017' and 'doi:10.4231/R7SF2TCW' in study.manifest['source']
    assert np.array_equal(s.fmri(1, 'train'), study.fmri(1, 'train')) and (
        s.path/'frames/train.npy').read_bytes() == (study.path/'frames/train.npy').read_bytes()
    assert set(
        D.doctor_table(study=s.path).set_index('item').licence[[
            'frames, train', 'fMRI of subject 1, test'
        ]]) == {'none: simulated'}

def test_the_published_count_is_compared():
    rng = np.random.default_rng(0)
    r = np.concatenate([rng.uniform(.3, .5, (18, 30)), rng.normal(0, .05, (18, 70))], 1)
    d = D.selection_table(r, 1, 13447).set_index(['method', 'alpha', 'tail'])
    assert (d.published == 13447).all() and (
        d.difference == d.voxels - 13447).all() and d.voxels['bonferroni', .05,
                                                             'greater'] == 30 and len(d) == 12
    assert D.PUBLISHED_VOXELS == {
        1: 13447,
        2: 14828,
        3: 9114
    } and 'difference' not in D.selection_table(r, 1)

@pytest.mark.parametrize('lag', [-1, 0, 2])
def test_the_lag_is_found_by_motion_energy(tmp_path, lag):
    """Two segments, one of them cut by a split as in a random one; BOLD follows the motion energy of the
    stored frames, late by `lag`."""
    rng = np.random.default_rng(lag + 9)
    pace = np.repeat(rng.integers(0, 6, 90), 2)
    pic = T.film(1, 3, 24, 64)[0]
    film = np.stack([[np.roll(pic, p*i, 1)[:, :32] for i in range(3)] for p in pace])
    e = video.motion_energy(film)
    e = (e - e.mean())/e.std()
    clips = pd.DataFrame(
        dict(clip_id=[f'c{i}' for i in range(180)], split='train', segment=np.repeat(['a', 'b'],
                                                                                     90),
             onset_s=np.tile(np.arange(90)*2., 2), duration_s=2., source=np.repeat(['a', 'b'], 90)))
    x = np.concatenate([np.roll(e[:90], lag), np.roll(e[90:], lag)
                        ])[:, None, None] + 1.5*rng.normal(size=(180, 2, 60))
    clips.loc[130, 'split'] = 'test'
    i = np.flatnonzero(clips.split == 'train')
    s = Study.create(tmp_path/'s', 's', 'planted', clips)
    write_npy(s.path/'frames/train.npy', film[i])
    s.save_fmri(1, 'train', x[i])
    assert D.stretches(s.select('train')) == [(0, 90), (90, 130), (130, 179)]
    d = D.lag_diagnostic(s, 1)
    assert d.lag[d.r2.idxmax()] == lag and d.r2.max() > 5*d.r2.median()
    with pytest.raises(SemvideoError, match='No stretch'):
        D.lag_diagnostic(s, 1, range(-30, 31))
    write_npy(s.path/'frames/train.npy', film[i][:, :1])
    with pytest.raises(SemvideoError, match='two frames'): D.lag_diagnostic(s, 1)

def test_selection_and_scale_never_see_test_data(cc, study, tree, tmp_path):
    for r in (1, 2, 3):
        rewrite(path(tree, 'test1', r), lambda x: np.roll(x, 50, 0) * 3 + 7)
    s = D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW)
    assert s.voxels(1).equals(study.voxels(1)) and np.array_equal(s.fmri(
        1, 'train'), study.fmri(
            1, 'train')) and not np.array_equal(s.fmri(1, 'test'), study.fmri(1, 'test'))

def test_choices(cc, tmp_path):
    n = 0
    def prep(**kw):
        nonlocal n
        n += 1
        return D.prepare_cc2017(cc, tmp_path/f's{n}', (1, ), **{
            **KW, 'n_frames': 1,
            'size': 8,
            **kw
        })
    s = prep(method='topk', k=10, average=('train', 'test'), scale='train')
    assert s.fmri(1, 'train').shape == (720, 1, 10) and s.fmri(1, 'test').shape == (480, 1, 10)
    assert np.abs(s.fmri(1, 'train')[:, 0].std(0) -
                  1).max() < 1e-3 and 1e-3 < np.abs(s.fmri(1, 'test')[:, 0].std(0) - 1).max()
    areas = sorted(set(fmri.parcels(*T.brain())[:3]))
    s = prep(areas=tuple(areas), method='all')
    assert set(s.voxels(1).parcel) == set(areas)
    write_npy(tmp_path/'m.npy', np.array([3, 5, 77]))
    s = prep(mask=str(tmp_path/'m.npy'), method='all')
    assert s.voxels(1).grayordinate.tolist() == [3, 5, 77]
    a, b = prep(method='all', lag=1), prep(method='all')
    assert np.corrcoef(a.fmri(1, 'train')[:239, 0, 0], b.fmri(1, 'train')[1:240, 0, 0])[0, 1] > .98
    with pytest.raises(SemvideoError, match='Areas not in'): prep(areas=('V99',))
    write_npy(tmp_path/'m2.npy', np.ones(7, bool))
    with pytest.raises(SemvideoError, match='Mask does not fit'):
        prep(mask=str(tmp_path/'m2.npy'))

# ---- bad trees, one by one
def short(p): rewrite(p, lambda x: x[:244])
def cut(p):
    b = p.read_bytes()
    p.write_bytes(b[:len(b)//2])
def empty(p): p.write_bytes(b'')
def swap(p):
    img = nib.load(p)
    nib.save(
        nib.Cifti2Image(
            np.asarray(img.dataobj).copy().T, (img.header.get_axis(1), img.header.get_axis(0))), p)
def other(p):
    hem, ver = T.brain()
    rewrite(p, lambda x: x, ver=ver + 1)
def order(p):
    hem, ver = T.brain()
    i = np.r_[1, 0, 2:len(ver)]
    rewrite(p, lambda x: x[:, i], ver=ver[i])

@pytest.mark.parametrize('damage,says', [(short, 'number of volumes'), (cut, 'truncated'), (empty, 'readable CIFTI'), (swap, 'swapped'), (other, 'different vertices'), (order, 'different vertices')])
def test_a_bad_run_is_one_clear_error_and_can_be_skipped(tree, tmp_path, damage, says):
    p = path(tree, 'test2', 2)
    damage(p)
    with pytest.raises(SemvideoError, match=says) as e:
        D.prepare_cc2017(tree, tmp_path/'s', (1,), **{**KW, 'n_frames': 1, 'size': 8})
    assert ("bad_runs='skip'" in str(e.value)) == (says != 'different vertices')
    assert 'test2_2_Atlas' in str(e.value) and not (tmp_path/'s/fmri').exists() and not list(
        (tmp_path/'s').rglob('.*part'))
    if damage in (short, cut):
        s = D.prepare_cc2017(tree, tmp_path/'t', (1, ), bad_runs='skip', **{
            **KW, 'n_frames': 1,
            'size': 8
        })
        assert np.isnan(s.fmri(1, 'test')[240:, 1]).all()

def test_wrong_tr_in_the_header_is_repaired_and_said(tree, study, tmp_path):
    rewrite(path(tree, 'seg1', 1), lambda x: x, tr=1.)
    s = D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW)
    assert np.array_equal(s.fmri(1, 'train'), study.fmri(
        1, 'train')) and 'header says TR 1 s; 2 s is used' in (s.path/
                                                               'prepare/runs-1.csv').read_text()

def test_constant_and_nan_voxels(tree, tmp_path):
    def spoil(x):
        x = x.copy()
        x[:, 3] = 5
        x[:, 4] = np.nan
        return x
    for r in (1, 2): rewrite(path(tree, 'seg1', r), spoil)
    v = D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW).voxels(1)
    assert not {3, 4} & set(v.grayordinate) and {0, 1, 2, 5} <= set(v.grayordinate)

@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('where', [(10, 5), (10, slice(None))])
def test_a_value_that_is_no_number_never_reaches_an_average(cc, tree, tmp_path, value, where):
    """Refused by name; with bad_runs='skip' the repeat is missing, and the average is that of the
    others."""
    def spoil(x):
        x = x.copy()
        x[where] = value
        return x
    p = path(tree, 'test1', 2)
    rewrite(p, spoil)
    kw = dict(KW, average=('test',))
    with pytest.raises(SemvideoError, match='no numbers') as e:
        D.prepare_cc2017(tree, tmp_path/'s', (1,), **kw)
    assert p.name in str(e.value) and 'volume 10' in str(e.value) and "bad_runs='skip'" in str(
        e.value)
    s = D.prepare_cc2017(tree, tmp_path/'t', (1,), bad_runs='skip', **kw)
    runs = pd.read_csv(s.path/'prepare/runs-1.csv').set_index(['segment', 'repeat'])
    assert runs.status['test1',
                       2] == 'skipped' and 'no numbers' in runs.note['test1',
                                                                     2] and runs.status['test1',
                                                                                        1] == 'used'
    whole = D.prepare_cc2017(cc, tmp_path/'w', (1,), **KW)
    n = int((whole.select('test').segment == 'test1').sum())
    want = np.delete(np.asarray(whole.fmri(1, 'test'))[:n], 1, 1).mean(1)
    assert np.allclose(np.asarray(s.fmri(1, 'test'))[:n, 0], want, atol=1e-5)

def test_numbers_that_are_large_and_values_that_are_not_used(tree, tmp_path):
    "Squares that overflow are numbers still; a NaN in a volume that no clip uses is nobody's."
    def spoil(x):
        x = x.copy()
        x[10, 5] = 1e30
        x[-1, 6] = np.nan
        return x
    rewrite(path(tree, 'test1', 2), spoil)
    D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW)

def test_a_voxel_without_signal_in_one_repeat_keeps_the_average_of_the_others(cc, tree, tmp_path):
    whole = D.prepare_cc2017(cc, tmp_path/'w', (1,), **KW)
    v = int(whole.voxels(1).grayordinate[2])
    n = int((whole.select('test').segment == 'test1').sum())
    def spoil(x):
        x = x.copy()
        x[:, v] = np.nan
        return x
    rewrite(path(tree, 'test1', 2), spoil)
    s = D.prepare_cc2017(tree, tmp_path/'s', (1,), **dict(KW, average=('test',)))
    want = np.asarray(whole.fmri(1, 'test'))[:n]
    got = np.asarray(s.fmri(1, 'test'))[:n, 0]
    assert np.allclose(got[:, 2],
                       np.delete(want, 1, 1).mean(1)[:, 2], atol=1e-5) and np.allclose(
                           got[:, 3],
                           want.mean(1)[:, 3], atol=1e-5)
    assert '1 voxels hold no numbers' in pd.read_csv(s.path/'prepare/runs-1.csv').set_index(
        ['segment', 'repeat']).note['test1', 2]

@pytest.mark.parametrize('lose,says', [('subject', 'subject 1 not found'), ('segment', 'No usable run of seg2'), ('stimuli', 'movies not found'), ('root', 'folder not found')])
def test_missing_parts(tree, tmp_path, lose, says):
    base = tree/'Subject01/video_fmri_dataset'
    shutil.rmtree(
        dict(subject=base/'subject1', segment=base/'subject1/fmri/seg2', stimuli=base/'stimuli',
             root=tree)[lose])
    with pytest.raises(SemvideoError, match=says):
        D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW)

def test_two_trees_are_ambiguous(tree, tmp_path):
    shutil.copytree(tree/'Subject01', tree/'Copy')
    with pytest.raises(SemvideoError, match='More than one stimuli'):
        D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW)

def audio(p):
    import av
    with av.open(str(p), 'w') as box:
        s = box.add_stream('aac', rate=16000)
        f = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), 'fltp', 'mono')
        f.sample_rate = 16000
        box.mux(s.encode(f))
        box.mux(s.encode())

@pytest.mark.parametrize('make,says', [(empty, 'empty'), (lambda p: p.write_bytes(b'no'*999), 'cannot be decoded'), (audio, 'no picture'), (lambda p: video.write_video(p, T.film(300*T.FPS), T.FPS), 'shorter')])
def test_bad_movies(tree, tmp_path, make, says):
    p = tree/'Subject01/video_fmri_dataset/stimuli/seg3.mp4'
    p.unlink()
    make(p)
    with pytest.raises(SemvideoError, match=says) as e:
        D.prepare_cc2017(tree, tmp_path/'s', (1,), **KW)
    assert 'seg3.mp4' in str(e.value) and not (tmp_path/'s/frames/train.npy').exists()

def test_movies_of_different_sizes_need_a_size(tree, tmp_path):
    p = tree/'Subject01/video_fmri_dataset/stimuli/seg3.mp4'
    p.unlink()
    video.write_video(p, T.film(480*T.FPS, 3, 28, 32), T.FPS)
    with pytest.raises(SemvideoError, match='differ in size'):
        D.prepare_cc2017(tree, tmp_path/'s', (1,), n_frames=1)

def test_odd_sizes_and_a_variable_frame_rate(tree, tmp_path):
    """A 23 x 31 film, and one whose frames come in bursts: the frame on the screen at each moment, by
    its own size."""
    import av
    from fractions import Fraction
    stim = tree/'Subject01/video_fmri_dataset/stimuli'
    rng = np.random.default_rng(0)
    t = np.r_[0, np.cumsum(rng.choice([.05, .1, .9], 1500))]
    t = t[t < 481]
    shade = rng.integers(10, 245, len(t))
    for p in stim.glob('*.mp4'):
        p.unlink()
        video.write_video(p, np.zeros((2*480, 22, 30, 3), np.uint8), 2)
    (stim/'seg2.mp4').unlink()
    with av.open(str(stim/'seg2.mp4'), 'w') as box:
        st = box.add_stream('libx264', rate=30)
        st.height, st.width, st.pix_fmt, st.options = 23, 31, 'yuv444p', dict(qp='0')
        st.codec_context.time_base = Fraction(1, 1000)
        for a,s in zip(t, shade):
            f = av.VideoFrame.from_ndarray(np.full((23, 31, 3), s, np.uint8), 'rgb24')
            f.pts, f.time_base = round(a*1000), Fraction(1, 1000)
            box.mux(st.encode(f))
        box.mux(st.encode())
    with pytest.raises(SemvideoError, match='differ in size'):
        D.prepare_cc2017(tree, tmp_path/'s', (1,), n_frames=4)
    s = D.prepare_cc2017(tree, tmp_path/'t', (1,), n_frames=4, size=(23, 31))
    x = s.frames('train')[240:480]
    assert x.shape == (240, 4, 23, 31, 3) and video.probe(stim/'seg2.mp4')['variable']
    want = shade[np.searchsorted(np.round(
        t*1000), np.round(1000*video.sample_times(np.arange(240)*2., 2, 4)), 'right') - 1]
    assert np.abs(x.mean((2, 3, 4)) - want).max() < 3

@pytest.mark.parametrize('kb', [60, 2000])
def test_a_disk_that_fills_up_is_one_error_and_leaves_nothing(cc, study, tmp_path, kb):
    """A real small file system: it has no room for the frames, or for the frames but not for all of the
    fMRI."""
    d = tmp_path/'disk'
    d.mkdir()
    code = f'''
from semvideo import datasets as D
from semvideo.core import SemvideoError
try: D.prepare_cc2017({str(cc)!r}, {str(d/"s")!r}, (1,), n_frames=2, size=16)
except SemvideoError as e: print("said:", e.problem, e.file)
'''
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={kb}k', 'none',
                       str(d)], capture_output=True).returncode:
        pytest.skip('may not mount a small file system here')
    try:
        r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                           env=dict(os.environ, SEMVIDEO_QUIET='1'))
        assert 'said: Cannot write: No space left' in r.stdout and r.returncode == 0, (
            r.returncode, r.stdout + r.stderr[-800:])
        left = sorted(p.relative_to(d/'s').as_posix() for p in (d/'s').rglob('*.npy'))
        assert left == ([] if kb < 100 else ['frames/test.npy', 'frames/train.npy']) and not list(
            (d/'s').rglob('*.part'))
        subprocess.run(['mount', '-o', 'remount,size=20m', str(d)], check=True)
        assert sums(D.prepare_cc2017(cc, d/'s', (1,), **KW)) == sums(study)
    finally: subprocess.run(['umount', str(d)], check=True)

def test_every_map_takes_its_room_first(tmp_path):
    """Targets, any `Study.new_npy`, and maps that need not survive, on a file system of 800 kB: one
    error each, nothing left, and what fits is still written."""
    d = tmp_path/'disk'
    d.mkdir()
    code = f"""
import numpy as np, pandas as pd
from pathlib import Path
from semvideo.core import SemvideoError, Study, new_map
from semvideo.targets import TextEncoder, text_targets
d = Path({str(d)!r}); n = 200; ids = [f'c{{i}}' for i in range(n)]
s = Study.create(d/'s', 'x', 'a test', pd.DataFrame(dict(clip_id=ids, split='train', segment='seg1', onset_s=2.*np.arange(n), duration_s=2., source='seg1')), {{}})
s.save_captions('train', pd.DataFrame(dict(clip_id=ids, basic='a', anchor='a', motion='a', holistic='a')))
def big():
    with s.new_npy('frames/train.npy', (n, 8, 32, 32, 3), np.uint8) as a: a[:] = 1
for f in (big, lambda: text_targets(s, 'train', TextEncoder('tiny')), lambda: new_map(d/'m.npy', (n, 8, 32, 32, 3), np.uint8)):
    try: f(); print('wrote')
    except SemvideoError as e: print('said:', e.problem, Path(e.file).name)
with s.new_npy('frames/train.npy', (n, 1, 16, 16, 3), np.uint8) as a: a[:] = 1
print(int(s.frames('train').sum()), sorted(p.relative_to(d).as_posix() for p in d.rglob('*') if p.suffix in ('.npy', '.part')))
"""
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=800k', 'none',
                       str(d)], capture_output=True).returncode:
        pytest.skip('may not mount a small file system here')
    try:
        r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                           env=dict(os.environ, SEMVIDEO_QUIET='1'))
    finally: subprocess.run(['umount', str(d)], check=True)
    no = 'said: Cannot write: No space left on device'
    assert r.returncode == 0 and r.stdout.splitlines() == [
        f'{no} train.npy', f'{no} anchor.npy', f'{no} m.npy', f"{200*768} ['s/frames/train.npy']"
    ], (r.returncode, r.stdout + r.stderr[-800:])

@pytest.fixture
def public():
    """A folder others may enter; pytest's own is private, and is made private again whenever another
    pytest starts."""
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        yield Path(d)

def as_nobody(code):
    "What a process prints that gives root up before it runs the last lines."
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    return r.stdout + r.stderr[-800:]

def test_a_folder_that_may_not_be_written(cc, public):
    "As root, by giving root up."
    shutil.copytree(cc, public/'cc')
    d = public/'no'
    d.mkdir()
    d.chmod(0o555)
    for p in [public/'cc', *(public/'cc').rglob('*')]:
        p.chmod(0o755 if p.is_dir() else 0o644)
    said = as_nobody(f'''
import av, nibabel.cifti2, os, scipy.special, fractions, pandas
from semvideo import datasets as D
from semvideo.core import SemvideoError
if os.getuid() == 0: os.setuid(65534)
try: D.prepare_cc2017({str(public/"cc")!r}, {str(d/"s")!r}, (1,), n_frames=2, size=16)
except SemvideoError as e: print("said:", e.problem)
''')
    assert 'said: Cannot write: Permission denied' in said and not list(d.iterdir()), said

def test_a_run_that_may_not_be_read(cc, public):
    p = Path(shutil.copy(path(cc, 'seg2', 1), public))
    p.chmod(0)
    said = as_nobody(f'''
import nibabel.cifti2, os
from semvideo import fmri
from semvideo.core import SemvideoError
if os.getuid() == 0: os.setuid(65534)
try: fmri.open_run({str(p)!r})
except SemvideoError as e: print("said:", e.problem, e.file)
''')
    assert f'said: File may not be read {p}' in said, said

def test_full_disk_leaves_nothing_half_written(cc, study, tmp_path):
    "A file-size limit stands for a full disk: the fMRI of the training split does not fit."
    code = f'''
import resource, signal
from semvideo import datasets as D
from semvideo.core import SemvideoError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
try: D.prepare_cc2017({str(cc)!r}, {str(tmp_path/"s")!r}, (1,), n_frames=2, size=16)
except SemvideoError as e: print("said:", e.problem, e.file)
'''
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    assert 'said: Cannot write' in r.stdout, r.stdout + r.stderr[-800:]
    assert not list((tmp_path/'s').rglob('*.npy')) and not list((tmp_path/'s').rglob('*.part'))
    assert sums(D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW)) == sums(study)

# ---- the audit
def row(d, part): return d[d.check.str.startswith(part)].iloc[0]

def test_a_clean_study_is_clean(study):
    d = D.leak_audit(study, save=False)
    assert (d.status == 'ok').all(), d[d.status != 'ok']

def test_planted_leaks_are_caught(cc, study, tree, tmp_path):
    stim = tree/'Subject01/video_fmri_dataset/stimuli'
    (stim/'test1.mp4').unlink()
    shutil.copy(stim/'seg2.mp4', stim/'test1.mp4') # the same film under two names
    x = (T.film(480*T.FPS, 3).astype(float)*.85 + 20).astype(np.uint8)
    (stim/'test2.mp4').unlink()
    video.write_video(stim/'test2.mp4', x, T.FPS, crf=26) # a paler copy, encoded again
    s = D.prepare_cc2017(tree, tmp_path/'s', (1,), **{**KW, 'size': None})
    d = pd.read_csv(s.path/'leak_audit.csv')
    assert row(d, 'identical frames').status == 'leak' and row(d,
                                                               'identical frames')['count'] == 240
    assert row(d, 'near-duplicate').status == 'warn' and row(d, 'near-duplicate')['count'] > 200
    rep = d[d.check.str.startswith('repeated stimulus')]
    assert len(rep) == 2 and (rep.status == 'leak').all()
    n = pd.read_csv(s.path/'leak_neighbours.csv')
    same = n.nearest[:240].str.replace('seg2', 'test1') == n.clip_id[:240]
    # one frame in two clips of the film may be the same to the byte: then the first is named
    assert n.identical[:240].all() and same.mean() > .98

def test_statistics_from_test_data_are_caught(cc, study, tmp_path):
    s = Study(shutil.copytree(study.path, tmp_path/'s'))
    te = np.array(s.fmri(1, 'test'))
    v = s.voxels(1)
    r = fmri.repeat_reliability(
        *(np.stack([te[k*240:(k + 1)*240, j] for k in range(2)]) for j in (0, 1)), blocks=6)
    s.save_voxels(1, v.assign(reliability=r))
    assert row(D.leak_audit(s, save=False), 'voxels of subject 1').status == 'leak'
    s.save_voxels(1, v)
    m = te.mean(1, keepdims=True)
    s.save_fmri(1, 'test', (te - m.mean(0))/m.std(0))
    assert row(D.leak_audit(s, save=False), 'scale of subject 1').status == 'leak'

# ---- HCP
@pytest.fixture(scope='session')
def hcp(tmp_path_factory): return T.hcp(tmp_path_factory.mktemp('hcp'))

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

# ---- own data
@pytest.fixture(scope='session')
def own(tmp_path_factory):
    "Two films of 90 and 60 s; CIFTI with TR 1.5 s, and the same as NIfTI with a mask."
    root = tmp_path_factory.mktemp('own')
    hem, ver = T.brain()
    rows = []
    mask = np.zeros((8, 8, 4), bool)
    mask.reshape(-1)[10:10 + len(ver)] = True
    aff = np.diag([2, 2, 2, 1.])
    aff[0, 3] = -1
    nib.save(nib.Nifti1Image(mask.astype('u1'), aff), root/'mask.nii.gz')
    for k,(name, sec, split) in enumerate([('a', 90, 'train'), ('b', 60, 'test')]):
        video.write_video(root/f'{name}.mp4', T.film(sec*4, k), 4)
        n = int((sec + 12)/1.5)
        sig = T.signal(n, len(ver), 40, k)
        for r in (1, 2):
            x = T.scan(sig, [k, r], snr=2)
            fmri.write_run(root/f'{name}_{r}.dtseries.nii', x, hem, ver, tr=1.5)
            vol = np.zeros((*mask.shape, n), 'f4')
            vol[mask] = x.T
            img = nib.Nifti1Image(vol, aff)
            img.header.set_zooms((2, 2, 2, 1.5))
            img.header.set_xyzt_units('mm', 'sec')
            nib.save(img, root/f'{name}_{r}.nii.gz')
            rows.append(
                dict(movie=f'{name}.mp4', run=f'{name}_{r}.dtseries.nii', onset_s=3, tr_s=1.5,
                     subject='amy', repeat=r, split=split))
    t = pd.DataFrame(rows)
    t.to_csv(root/'runs.csv', index=False)
    t.assign(run=t.run.str.replace('dtseries.nii', 'nii.gz')).to_csv(root/'nifti.csv', index=False)
    return root

def test_own_data_as_cifti_and_as_nifti_agree(own, tmp_path):
    kw = dict(KW, method='topk', k=40)
    a = D.prepare_table(own/'runs.csv', tmp_path/'a', **kw)
    b = D.prepare_table(own/'nifti.csv', tmp_path/'b', mask=own/'mask.nii.gz', **kw)
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
def test_bad_tables(own, tmp_path, change, says):
    p = own/f'bad{abs(hash(says))}.csv'
    change(pd.read_csv(own/'runs.csv')).to_csv(p, index=False)
    with pytest.raises(SemvideoError, match='.*') as e:
        D.prepare_table(p, tmp_path/'s', **KW)
    assert says in str(e.value)
    p.unlink()

def test_a_mask_of_columns_that_is_no_npy(cc, own, tmp_path):
    with pytest.raises(SemvideoError, match='Not a plain .npy'):
        D.prepare_cc2017(cc, tmp_path/'s', (1,), mask=str(own/'mask.nii.gz'), **KW)
    with pytest.raises(SemvideoError, match='File not found'):
        D.prepare_cc2017(cc, tmp_path/'t', (1,), mask=str(own/'none.npy'), **KW)
    with pytest.raises(SemvideoError, match='table is a folder'):
        D.prepare_table(own, tmp_path/'u', **KW)
    with pytest.raises(SemvideoError, match='Clips must last'):
        D.prepare_table(own/'runs.csv', tmp_path/'u', clip_s=-1, **KW)
    assert not (tmp_path/'u').exists()

def test_the_same_film_in_two_splits_is_caught(own, tmp_path):
    t = pd.read_csv(own/'runs.csv')
    t = pd.concat([t, t[:2].assign(split='test')])
    t.to_csv(own/'twice.csv', index=False)
    d = D.leak_audit(D.prepare_table(own/'twice.csv', tmp_path/'s', **KW), save=False)
    (own/'twice.csv').unlink()
    assert row(d, 'same stimulus').status == 'leak' and row(
        d, 'same stimulus')['count'] == 60 and row(d, 'identical').status == 'leak'

# ---- published tensors
def test_neuroclips_release(tmp_path):
    import torch
    g = torch.Generator().manual_seed(0); n = dict(train=480, test=240)
    for s,reps in (('train', 2), ('test', 10)):
        torch.save(torch.rand(n[s], 6, 3, 8, 8, generator=g), tmp_path/f'GT_{s}_3fps.pt')
        sig = torch.randn(n[s], 1, 30, generator=g)
        torch.save((sig + torch.randn(n[s], reps, 30, generator=g)).half(),
                   tmp_path/f'subj01_{s}_fmri.pt')
    s = D.prepare_neuroclips(tmp_path, tmp_path/'s', (1,))
    x = torch.load(tmp_path/'GT_train_3fps.pt', weights_only=True)
    assert s.frames('train').shape == (
        480, 6, 8, 8,
        3) and np.abs(s.frames('train')[3, 2]/255. - x[3, 2].permute(1, 2, 0).numpy()).max() < .003
    assert s.fmri(1, 'train').shape == (480, 2, 30) and s.fmri(1, 'test').shape == (
        240, 10, 30) and (s.voxels(1).grayordinate
                          == -1).all() and abs(s.voxels(1).reliability.mean() - .5) < .05
    assert s.clip_ids('train')[240] == 'seg2_000' and (pd.read_csv(s.path/'leak_audit.csv').status
                                                       != 'leak').all()

class Evil:
    def __reduce__(self): return os.system, ('touch EVIL',)

def test_a_pickle_that_runs_code_is_refused(tmp_path, monkeypatch):
    import torch
    monkeypatch.chdir(tmp_path)
    torch.save(Evil(), tmp_path/'GT_train_3fps.pt')
    with pytest.raises(SemvideoError, match='Not a safe tensor'):
        D.prepare_neuroclips(tmp_path, tmp_path/'s', (1,))
    torch.save(dict(a=torch.zeros(2)), tmp_path/'GT_train_3fps.pt')
    with pytest.raises(SemvideoError, match='Not one tensor'):
        D.load_tensor(tmp_path/'GT_train_3fps.pt')
    np.save(tmp_path/'video_train_256_3hz.npy', np.array([Evil()], object), allow_pickle=True)
    with pytest.raises(SemvideoError, match='plain .npy'):
        D.prepare_mindvideo(tmp_path, tmp_path/'s', (1,))
    assert not (tmp_path/'EVIL').exists() and not (tmp_path/'s').exists()

def test_mindvideo_release(tmp_path):
    rng = np.random.default_rng(0)
    for s,k in (('train', 2), ('test', 1)):
        np.save(tmp_path/f'video_{s}_256_3hz.npy',
                rng.integers(0, 255, (k, 240, 6, 8, 8, 3), np.uint8))
        np.save(tmp_path/f'fmri_{s}_subject2.npy', rng.normal(size=(k, 240, 20)))
    s = D.prepare_mindvideo(tmp_path, tmp_path/'s', (2,))
    assert s.fmri(2, 'train').shape == (480, 1, 20) and s.frames('test').shape == (240, 6, 8, 8, 3)
    assert np.array_equal(
        s.frames('train')[300],
        np.load(tmp_path/'video_train_256_3hz.npy')[1, 60])

# ---- doctor
def test_doctor_prints_the_table(cc, study, hcp, tmp_path, capsys):
    from semvideo.cli import main
    rc = main(['doctor', '--root', str(cc), '--study', str(study.path)])
    out = capsys.readouterr().out.splitlines()
    head = next(l for l in out if l.startswith('state '))
    assert head.split() == ['state', 'data', 'size', 'source', 'licence', 'do'
                            ] and rc == 1 and 'missing: CC2017 subject 2, seg runs' in out[-1]
    col = {k: head.index(k) for k in ('data', 'size', 'source', 'licence', 'do')}
    line = {l[col['data']:col['size']].strip(): l for l in out[out.index(head) + 1:-1]}
    x = line['CC2017 subject 1, seg runs']
    assert x[col['size']:].startswith('6 of 36') and x[col['source']:].startswith(
        'doi:10.4231/R7SF2TCW') and x[col['licence']:].startswith('CC0 1.0')
    assert line['frames, train'].startswith(
        'ok') and line['frames, train'][col['source']:].startswith('CC2017: Wen')
    # what stages made is told once, as `semvideo status` tells it
    mine = next(l for l in out if l.split()[1:2] == ['mine'])
    assert mine.startswith(
        'note'
    ) and 'not begun' in mine and 'semvideo mine --study' in mine and 'captions' not in line
    assert main(['doctor', '--root', str(hcp)
                 ]) == 0 and 'HCP data use terms' in capsys.readouterr().out
    assert main(['doctor', '--root', str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert 'ConnectomeDB' in out and 'Purdue' in out and out.rstrip().endswith(
        'missing: CC2017, HCP 7T')
    assert main(['doctor', '--root', str(hcp), '--dataset', 'cc2017'
                 ]) == 1 and capsys.readouterr().out.rstrip().endswith('missing: CC2017')

def test_doctor(cc, study, hcp):
    d = D.doctor_table(cc, study.path).set_index('item')
    assert list(
        D.doctor_table().columns) == ['item', 'status', 'size', 'source', 'licence', 'remedy']
    assert d.status['CC2017 movies seg1-18'] == '3 of 18' and d.status[
        'CC2017 subject 2, seg runs'] == 'missing' and d.licence[
            'CC2017 movies test1-5'] == 'CC0 1.0 for the dataset; films keep their own copyright' and d.licence[
                'CC2017 subject 3, seg runs'] == 'CC0 1.0' and d.source[
                    'CC2017 subject 1, seg runs'] == 'doi:10.4231/R7SF2TCW' and 'Purdue' in d.remedy[
                        'CC2017 subject 2, seg runs']
    assert d.status['frames, train'] == 'ok' and d.status['captions'] == 'missing' and d.remedy[
        'captions'] == 'semvideo mine' and d['size']['fMRI of subject 1, train'].endswith('kB')
    h = D.doctor_table(hcp).set_index('item')
    assert h.status['HCP 7T movies'] == 'ok' and h.status['HCP subject 100610, movie runs'] == 'ok'
    assert D.doctor_table('/nowhere/at/all').status.iloc[-1] == 'missing' and D.doctor_table(
        study='/nowhere').status.iloc[-1] == 'missing'

@pytest.mark.parametrize('settings', [dict(n_frames=0), dict(n_frames=-1), dict(blocks=-1), dict(k=-5, method='topk'), dict(size=0), dict(lag=1.5)])
def test_a_setting_out_of_range_makes_no_folder(cc, tmp_path, settings):
    with pytest.raises(SemvideoError, match='out of range'):
        D.prepare_cc2017(cc, tmp_path/'s', subjects=(1,), **settings)
    assert not (tmp_path/'s').exists()

def test_subjects_are_those_that_are_there(cc, tmp_path):
    assert D.cc2017_subjects(cc) == (1, 3)
    with pytest.raises(SemvideoError, match='No subject of CC2017'):
        D.cc2017_subjects(tmp_path)

def test_a_film_replaced_after_prepare_is_noticed(cc, tmp_path):
    import shutil
    root = tmp_path/'cc'
    shutil.copytree(cc, root)
    s = D.prepare_cc2017(root, tmp_path/'s', subjects=(1,))
    a, b = sorted((root/
                   'stimuli').glob('*.mp4') if (root/
                                                'stimuli').is_dir() else root.rglob('*.mp4'))[:2]
    shutil.copyfile(b, a)
    with pytest.raises(SemvideoError, match='stale') as e:
        D.prepare_cc2017(root, tmp_path/'s', subjects=(1,))
    assert a.name in str(e.value) and s.check(
    )['prepare']['state'] == 'stale' and a.name in s.check()['prepare']['why']

# ---- the register of data sets
def installed(folder, name, body):
    """A package of somebody else, as pip would have left it: a module, and an entry point that names it."""
    (folder/f'{name}.py').write_text(body)
    info = folder/f'{name}-1.0.dist-info'
    info.mkdir()
    (info/'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
    (info/'entry_points.txt').write_text(f'[semvideo.plugins]\n{name} = {name}\n')

THEIRS = """
from semvideo.datasets import dataset, option, prepare_cc2017
@dataset('theirs', pace=option('frames a second (default: 4)', type=float, metavar='F'))
def prepare_theirs(root, out, pace=4., **settings):
    "A layout of somebody else."
    print('pace', pace)
    return prepare_cc2017(root, out, **settings)
"""

def test_a_data_set_of_another_package_needs_one_registration(cc, study, tmp_path):
    """Found by its entry point, without torch; it prepares; one that does not import is left out and
    said."""
    installed(tmp_path, 'theirs', THEIRS)
    installed(tmp_path, 'broken', "import not_there_at_all")
    code = f"""
import sys, warnings
sys.path.insert(0, {str(tmp_path)!r})
from semvideo import datasets as D
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter('always')
    known = D.known_datasets()
print([n for n in known if n != 'theirs'], known['theirs'].options, 'torch' in sys.modules)
print([str(w.message) for w in said])
known['theirs'].prepare({str(cc)!r}, {str(tmp_path/"s")!r}, pace=2., subjects=(1,), n_frames=2, size=16)
"""
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    assert r.returncode == 0, r.stderr[-800:]
    names, said, pace = r.stdout.splitlines()
    assert names == "['table', 'cc2017', 'hcp'] {'pace': {'type': <class 'float'>, 'metavar': 'F', 'help': 'frames a second (default: 4)'}} False"
    assert 'broken' in said and 'not_there_at_all' in said and pace == 'pace 2.0'
    assert sums(Study(tmp_path/'s')) == sums(study)

def test_what_a_data_set_offers_is_what_its_function_takes():
    import argparse, inspect
    for name, d in D.DATASETS.items():
        assert d.name == name and d.prepare is getattr(D, f'prepare_{name}')
        assert set(d.options) <= set(inspect.signature(d.prepare).parameters)
        p = argparse.ArgumentParser()
        for o, how in d.options.items(): p.add_argument('--' + o.replace('_', '-'), **how)
        assert all(o in p.format_help().replace('-', '_') for o in d.options)

def test_a_registration_that_cannot_be_meant_is_refused():
    def prepare_mine(root, out, pace=4.): pass
    before = dict(D.DATASETS)
    with pytest.raises(SemvideoError, match='pase') as e:
        D.dataset('mine', pase=D.option('a typo'))(prepare_mine)
    assert 'root, out, pace' in str(e.value)
    with pytest.raises(SemvideoError, match='Another data set is called cc2017'):
        D.dataset('cc2017')(prepare_mine)
    with pytest.raises(SemvideoError, match='Not a name for a dataset'):
        D.dataset('my data/set')(prepare_mine)
    assert D.DATASETS == before
