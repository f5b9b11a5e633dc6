"""166_releases: tensors that earlier systems published; a pickle runs no code."""
import os

import numpy as np
import pandas as pd
import pytest
from semvideo import datasets as D
from semvideo.core import SemvideoError


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
