"""150_prepare, 162_cc2017: whole preparations of a small CC2017 with planted voxels, resume after a kill, each bad input one clear error."""
import os
import shutil
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tree as T
from semvideo import datasets as D, fmri, video
from semvideo.core import SemvideoError, Study, write_npy
from data_help import KW, path, sums
from films_help import audio_only


def rewrite(p, f, tr=2., **kw):
    x = np.asarray(nib.load(p).dataobj).copy()
    hem, ver = T.brain()
    fmri.write_run(p, f(x), kw.get('hem', hem), kw.get('ver', ver), tr)


def test_shapes_and_names(cc_study):
    assert cc_study.splits == ['train', 'test'] and cc_study.subjects == [1] and len(cc_study.clips) == 5*240
    assert cc_study.frames('train').shape == (720, 2, 16, 16,
                                           3) and cc_study.frames('test').dtype == np.uint8
    tr, te, v = cc_study.fmri(1, 'train'), cc_study.fmri(1, 'test'), cc_study.voxels(1)
    assert tr.shape == (720, 2, len(v)) and te.shape == (
        480, 3, len(v)) and tr.dtype == np.float32 and np.isfinite(te).all()
    for k in range(3):
        z = tr[k*240:(k + 1)*240]
        assert np.abs(z.mean(0)).max() < 1e-4 and np.abs(z.std(0) - 1).max() < 1e-4
    assert cc_study.clip_ids('test')[240] == 'test2_000' and cc_study.clips.onset_s.max() == 478 and (
        cc_study.path/'leak_audit.csv').is_file()


def test_planted_voxels_are_found_and_named(cc_study):
    v = cc_study.voxels(1)
    hem, ver = T.brain()
    assert set(range(40)) <= set(v.grayordinate) and len(v) <= 42
    assert (v.vertex == ver[v.grayordinate]).all() and (
        v.hemisphere == hem[v.grayordinate]).all() and (v.parcel == fmri.parcels(
            v.hemisphere, v.vertex)).all()
    assert abs(v.reliability[:40].mean() - .5) < .05


def test_each_volume_sits_beside_its_clip(cc_study):
    v = cc_study.voxels(1); i = v.grayordinate < 40
    for name,split,k,code in (('seg2', 'train', 1, 2), ('test1', 'test', 0, 101), ('test2', 'test', 1, 102)):  # 245 and 246 volumes
        first = 1 if name != 'test2' else 2; T0 = 244 + first
        want = T.signal(246, len(T.brain()[1]), 40,
                        code)[246 - T0:][first:first + 240][:, v.grayordinate[i]]
        got = np.asarray(cc_study.fmri(1, split)[k*240:(k + 1)*240]).mean(1)[:, i]
        r = [np.corrcoef(want[:, j], got[:, j])[0, 1] for j in range(i.sum())]
        assert np.mean(r) > .7


def test_frames_are_the_movies(cc_study, cc):
    p = D.find_dir(cc, 'stimuli', '*.mp4')/'seg2.mp4'
    assert (cc_study.frames('train')[240 + 17] == video.read_clip(p, 34, 2, 2, size=16)).all()


def test_same_bytes_for_any_number_of_workers_and_again(cc, cc_study, tmp_path):
    again = D.prepare_cc2017(cc, tmp_path/'s', (1,), **{**KW, 'workers': 1})
    assert sums(again) == sums(cc_study)
    t = {p: p.stat().st_mtime_ns for p in again.path.rglob('*') if p.is_file()}
    D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW)
    assert t == {p: p.stat().st_mtime_ns for p in again.path.rglob('*') if p.is_file()}


@pytest.mark.parametrize('after', ['frames/train.npy', 'fmri/sub-1/train.npy'])
def test_killed_and_started_again_ends_with_the_same_bytes(cc, cc_study, tmp_path, after):
    code = f'from semvideo import datasets as D; D.prepare_cc2017({str(cc)!r}, {str(tmp_path/"s")!r}, (1,), n_frames=2, size=16, workers=1)'
    p = subprocess.Popen([sys.executable, '-c', code], env=dict(os.environ, SEMVIDEO_QUIET='1'))
    end = time.time() + 120
    while not (tmp_path/'s'/after).exists() and time.time() < end and p.poll() is None:
        time.sleep(.002)
    p.send_signal(signal.SIGKILL)
    p.wait()
    assert (tmp_path/'s'/after).exists()
    assert sums(D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW)) == sums(cc_study)


def test_other_settings_are_refused(cc, cc_study):
    for kw in (dict(alpha=.01), dict(n_frames=3)):
        with pytest.raises(SemvideoError, match='Another study|other settings'):
            D.prepare_cc2017(cc, cc_study.path, (1,), **{**KW, **kw})
    with pytest.raises(SemvideoError, match="did you mean 'alpha'"):
        D.prepare_cc2017(cc, cc_study.path, (1,), alhpa=.01, **KW)


@pytest.mark.parametrize('kw,says', [(dict(method='bonferoni'), 'Unknown method'), (dict(tail='less'), 'Unknown tail'), (dict(scale='trian'), 'Unknown scale'), (dict(bad_runs='skpi'), 'Unknown bad_runs'), (dict(fit='stretch'), 'Unknown fit'),
                                     (dict(average=('tset',)), 'Cannot average'), (dict(average='test'), 'Cannot average'), (dict(method='topk'), 'topk needs k'), (dict(alpha=1.5), 'alpha is no level'), (dict(alpha=0), 'alpha is no level')])
def test_a_wrong_setting_is_refused_before_anything_is_written(cc, tmp_path, kw, says):
    with pytest.raises(SemvideoError, match=says):
        D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW, **kw)
    with pytest.raises(SemvideoError, match='No subject'):
        D.prepare_cc2017(cc, tmp_path/'s', (), **KW)
    assert not (tmp_path/'s').exists()


def test_missing_and_known_bad_repeats(cc, cc_copy, tmp_path):
    path(cc_copy, 'test1', 2, 3).unlink()
    path(cc_copy, 'seg1', 1, 3).unlink()
    s = D.prepare_cc2017(cc_copy, tmp_path/'s', (3,), **KW)
    te, tr = s.fmri(3, 'test'), s.fmri(3, 'train')
    rep = pd.read_csv(s.path/'prepare/runs-3.csv').set_index(['segment', 'repeat'])
    assert np.isnan(te[:240, 1]).all() and np.isfinite(te[240:]).all() and np.isfinite(
        te[:240, [0, 2]]).all() and np.isnan(tr[:240, 0]).all() and np.isfinite(tr[:240, 1]).all()
    assert rep.status['test1', 2] == 'missing' and rep.status['seg1', 1] == 'missing' and (
        rep.status == 'used').sum() == 10
    assert (3, 'test2', 9) in D.KNOWN_BAD
    segs = D.cc2017_segments(cc_copy, (3,))
    runs, rep = D.open_subject(segs, 3, D.PrepareConfig(), known_bad={(3, 'test2', 3): 'why'})
    assert ('test2', 3) not in runs and rep.note[(rep.segment == 'test2')
                                                 & (rep['repeat'] == 3)].item() == 'why'


def test_an_average_goes_on_without_a_missing_repeat(cc_copy, cc_study, tmp_path):
    path(cc_copy, 'test1', 2).unlink()
    path(cc_copy, 'seg1', 1).unlink()
    s = D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), average=('train', 'test'), **KW)
    te, tr = s.fmri(1, 'test'), s.fmri(1, 'train')
    assert te.shape[:2] == (480, 1) and tr.shape[:2] == (
        720, 1) and np.isfinite(te).all() and np.isfinite(tr).all()
    # planted vertices, in both
    i, j = (np.searchsorted(x.voxels(1).grayordinate, np.arange(20)) for x in (s, cc_study))
    assert np.allclose(te[:240, 0, i],
                       cc_study.fmri(1, 'test')[:240][:, [0, 2]][:, :, j].mean(1),
                       atol=1e-5) and np.array_equal(tr[:240, 0, i],
                                                     cc_study.fmri(1, 'train')[:240, 1][:, j])


def test_a_simulated_tree_is_not_called_cc2017(cc_copy, cc_study, tmp_path):
    (cc_copy/'truth').mkdir()
    (cc_copy/D.MINIATURE_MARK).write_text('{}')
    s = D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW)
    m = s.manifest
    assert m['name'] == 'miniature' and 'simulated' in m['source'] and 'Wen' not in m[
        'source'] and cc_study.manifest[
            'name'] == 'cc2017' and 'doi:10.4231/R7SF2TCW' in cc_study.manifest['source']
    assert np.array_equal(s.fmri(1, 'train'), cc_study.fmri(1, 'train')) and (
        s.path/'frames/train.npy').read_bytes() == (cc_study.path/'frames/train.npy').read_bytes()
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


def test_selection_and_scale_never_see_test_data(cc, cc_study, cc_copy, tmp_path):
    for r in (1, 2, 3):
        rewrite(path(cc_copy, 'test1', r), lambda x: np.roll(x, 50, 0) * 3 + 7)
    s = D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW)
    assert s.voxels(1).equals(cc_study.voxels(1)) and np.array_equal(s.fmri(
        1, 'train'), cc_study.fmri(
            1, 'train')) and not np.array_equal(s.fmri(1, 'test'), cc_study.fmri(1, 'test'))


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
def test_a_bad_run_is_one_clear_error_and_can_be_skipped(cc_copy, tmp_path, damage, says):
    p = path(cc_copy, 'test2', 2)
    damage(p)
    with pytest.raises(SemvideoError, match=says) as e:
        D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **{**KW, 'n_frames': 1, 'size': 8})
    assert ("bad_runs='skip'" in str(e.value)) == (says != 'different vertices')
    assert 'test2_2_Atlas' in str(e.value) and not (tmp_path/'s/fmri').exists() and not list(
        (tmp_path/'s').rglob('.*part'))
    if damage in (short, cut):
        s = D.prepare_cc2017(cc_copy, tmp_path/'t', (1, ), bad_runs='skip', **{
            **KW, 'n_frames': 1,
            'size': 8
        })
        assert np.isnan(s.fmri(1, 'test')[240:, 1]).all()


def test_wrong_tr_in_the_header_is_repaired_and_said(cc_copy, cc_study, tmp_path):
    rewrite(path(cc_copy, 'seg1', 1), lambda x: x, tr=1.)
    s = D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW)
    assert np.array_equal(s.fmri(1, 'train'), cc_study.fmri(
        1, 'train')) and 'header says TR 1 s; 2 s is used' in (s.path/
                                                               'prepare/runs-1.csv').read_text()


def test_constant_and_nan_voxels(cc_copy, tmp_path):
    def spoil(x):
        x = x.copy()
        x[:, 3] = 5
        x[:, 4] = np.nan
        return x
    for r in (1, 2): rewrite(path(cc_copy, 'seg1', r), spoil)
    v = D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW).voxels(1)
    assert not {3, 4} & set(v.grayordinate) and {0, 1, 2, 5} <= set(v.grayordinate)


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('where', [(10, 5), (10, slice(None))])
def test_a_value_that_is_no_number_never_reaches_an_average(cc, cc_copy, tmp_path, value, where):
    """Refused by name; with bad_runs='skip' the repeat is missing, and the average is that of the
    others."""
    def spoil(x):
        x = x.copy()
        x[where] = value
        return x
    p = path(cc_copy, 'test1', 2)
    rewrite(p, spoil)
    kw = dict(KW, average=('test',))
    with pytest.raises(SemvideoError, match='no numbers') as e:
        D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **kw)
    assert p.name in str(e.value) and 'volume 10' in str(e.value) and "bad_runs='skip'" in str(
        e.value)
    s = D.prepare_cc2017(cc_copy, tmp_path/'t', (1,), bad_runs='skip', **kw)
    runs = pd.read_csv(s.path/'prepare/runs-1.csv').set_index(['segment', 'repeat'])
    assert runs.status['test1',
                       2] == 'skipped' and 'no numbers' in runs.note['test1',
                                                                     2] and runs.status['test1',
                                                                                        1] == 'used'
    whole = D.prepare_cc2017(cc, tmp_path/'w', (1,), **KW)
    n = int((whole.select('test').segment == 'test1').sum())
    want = np.delete(np.asarray(whole.fmri(1, 'test'))[:n], 1, 1).mean(1)
    assert np.allclose(np.asarray(s.fmri(1, 'test'))[:n, 0], want, atol=1e-5)


def test_numbers_that_are_large_and_values_that_are_not_used(cc_copy, tmp_path):
    "Squares that overflow are numbers still; a NaN in a volume that no clip uses is nobody's."
    def spoil(x):
        x = x.copy()
        x[10, 5] = 1e30
        x[-1, 6] = np.nan
        return x
    rewrite(path(cc_copy, 'test1', 2), spoil)
    D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW)


def test_a_voxel_without_signal_in_one_repeat_keeps_the_average_of_the_others(cc, cc_copy, tmp_path):
    whole = D.prepare_cc2017(cc, tmp_path/'w', (1,), **KW)
    v = int(whole.voxels(1).grayordinate[2])
    n = int((whole.select('test').segment == 'test1').sum())
    def spoil(x):
        x = x.copy()
        x[:, v] = np.nan
        return x
    rewrite(path(cc_copy, 'test1', 2), spoil)
    s = D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **dict(KW, average=('test',)))
    want = np.asarray(whole.fmri(1, 'test'))[:n]
    got = np.asarray(s.fmri(1, 'test'))[:n, 0]
    assert np.allclose(got[:, 2],
                       np.delete(want, 1, 1).mean(1)[:, 2], atol=1e-5) and np.allclose(
                           got[:, 3],
                           want.mean(1)[:, 3], atol=1e-5)
    assert '1 voxels hold no numbers' in pd.read_csv(s.path/'prepare/runs-1.csv').set_index(
        ['segment', 'repeat']).note['test1', 2]


@pytest.mark.parametrize('lose,says', [('subject', 'subject 1 not found'), ('segment', 'No usable run of seg2'), ('stimuli', 'movies not found'), ('root', 'folder not found')])
def test_missing_parts(cc_copy, tmp_path, lose, says):
    base = cc_copy/'Subject01/video_fmri_dataset'
    shutil.rmtree(
        dict(subject=base/'subject1', segment=base/'subject1/fmri/seg2', stimuli=base/'stimuli',
             root=cc_copy)[lose])
    with pytest.raises(SemvideoError, match=says):
        D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW)


def test_two_trees_are_ambiguous(cc_copy, tmp_path):
    shutil.copytree(cc_copy/'Subject01', cc_copy/'Copy')
    with pytest.raises(SemvideoError, match='More than one stimuli'):
        D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW)


@pytest.mark.parametrize('make,says', [(empty, 'empty'), (lambda p: p.write_bytes(b'no'*999), 'cannot be decoded'), (audio_only, 'no picture'), (lambda p: video.write_video(p, T.film(300*T.FPS), T.FPS), 'shorter')])
def test_bad_movies(cc_copy, tmp_path, make, says):
    p = cc_copy/'Subject01/video_fmri_dataset/stimuli/seg3.mp4'
    p.unlink()
    make(p)
    with pytest.raises(SemvideoError, match=says) as e:
        D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **KW)
    assert 'seg3.mp4' in str(e.value) and not (tmp_path/'s/frames/train.npy').exists()


def test_movies_of_different_sizes_need_a_size(cc_copy, tmp_path):
    p = cc_copy/'Subject01/video_fmri_dataset/stimuli/seg3.mp4'
    p.unlink()
    video.write_video(p, T.film(480*T.FPS, 3, 28, 32), T.FPS)
    with pytest.raises(SemvideoError, match='differ in size'):
        D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), n_frames=1)


def test_odd_sizes_and_a_variable_frame_rate(cc_copy, tmp_path):
    """A 23 x 31 film, and one whose frames come in bursts: the frame on the screen at each moment, by
    its own size."""
    import av
    from fractions import Fraction
    stim = cc_copy/'Subject01/video_fmri_dataset/stimuli'
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
        D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), n_frames=4)
    s = D.prepare_cc2017(cc_copy, tmp_path/'t', (1,), n_frames=4, size=(23, 31))
    x = s.frames('train')[240:480]
    assert x.shape == (240, 4, 23, 31, 3) and video.probe(stim/'seg2.mp4')['variable']
    want = shade[np.searchsorted(np.round(
        t*1000), np.round(1000*video.sample_times(np.arange(240)*2., 2, 4)), 'right') - 1]
    assert np.abs(x.mean((2, 3, 4)) - want).max() < 3


def test_a_mask_of_columns_that_is_no_npy(cc, own_films, tmp_path):
    with pytest.raises(SemvideoError, match='Not a plain .npy'):
        D.prepare_cc2017(cc, tmp_path/'s', (1,), mask=str(own_films/'mask.nii.gz'), **KW)
    with pytest.raises(SemvideoError, match='File not found'):
        D.prepare_cc2017(cc, tmp_path/'t', (1,), mask=str(own_films/'none.npy'), **KW)
    with pytest.raises(SemvideoError, match='table is a folder'):
        D.prepare_table(own_films, tmp_path/'u', **KW)
    with pytest.raises(SemvideoError, match='Clips must last'):
        D.prepare_table(own_films/'runs.csv', tmp_path/'u', clip_s=-1, **KW)
    assert not (tmp_path/'u').exists()


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
