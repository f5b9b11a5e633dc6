"""130_leaks: a clean study is clean, planted leaks are caught."""
import shutil

import numpy as np
import pandas as pd
import tree as T
from semvideo import datasets as D, fmri, video
from semvideo.core import Study
from data_help import KW, row


def test_a_clean_study_is_clean(cc_study):
    d = D.leak_audit(cc_study, save=False)
    assert (d.status == 'ok').all(), d[d.status != 'ok']


def test_planted_leaks_are_caught(cc, cc_study, cc_copy, tmp_path):
    stim = cc_copy/'Subject01/video_fmri_dataset/stimuli'
    (stim/'test1.mp4').unlink()
    shutil.copy(stim/'seg2.mp4', stim/'test1.mp4') # the same film under two names
    x = (T.film(480*T.FPS, 3).astype(float)*.85 + 20).astype(np.uint8)
    (stim/'test2.mp4').unlink()
    video.write_video(stim/'test2.mp4', x, T.FPS, crf=26) # a paler copy, encoded again
    s = D.prepare_cc2017(cc_copy, tmp_path/'s', (1,), **{**KW, 'size': None})
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


def test_statistics_from_test_data_are_caught(cc, cc_study, tmp_path):
    s = Study(shutil.copytree(cc_study.path, tmp_path/'s'))
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
