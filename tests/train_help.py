"What the tests of the training rooms share: a toy study, a small SAD, settings of short runs."
import numpy as np, pandas as pd, pytest, torch
from semvideo import sad
from semvideo.core import Study, rng_for
from semvideo.sad import SAD
from semvideo.train import TrainConfig

TOY = dict(tokens=4, width=6, hidden=12, mlp=(16, 16, 16), layers=1, heads=1, dim_head=4,
           refine_rows=4)

FAST = TrainConfig(epochs=4, batch=16, lr=1e-3, repeats='average', projector='ridge', noise=1.,
                   save_every=1)

def toy_study(path, n=(64, 24), voxels=(20, 25)):
    r = rng_for('test_train')
    N = sum(n)
    said = r.normal(size=(N, 5))
    split = ['train']*n[0]+['test']*n[1]
    clips = pd.DataFrame(
        dict(clip_id=[f'c{i}' for i in range(N)], split=split,
             segment=[f'seg{i//(n[0]//4)}' if i < n[0] else 'test1' for i in range(N)],
             onset_s=np.arange(N)*2., duration_s=2., source='toy'))
    study = Study.create(path, 'toy', 'test', clips)
    y = np.tanh(said@r.normal(size=(5, 24))).reshape(N, 4, 6)
    for s,i in dict(train=slice(0, n[0]), test=slice(n[0], N)).items():
        for level in ('anchor', 'motion', 'holistic'):
            with study.new_npy(f'targets/{s}/{level}.npy', y[i].shape, np.float32) as a:
                a[:] = y[i]
        for k,v in enumerate(voxels, 1):
            study.save_fmri(k, s, (said[i] @ rng_for(k).normal(size=(5, v)))[:, None] +
                            2*r.normal(size=(n[s == 'test'], 2 if s == 'train' else 10, v)))
    study.stage('targets', {}).finish()
    return study

@pytest.fixture(scope='module')
def study(tmp_path_factory): return toy_study(tmp_path_factory.mktemp('toy')/'study')

def make(seed=0, **kw):
    torch.manual_seed(seed)
    return SAD({1: 20, 2: 25}, sad.SAD_MINIATURE, **{**TOY, **kw})

class Mine(SAD): "A decoder from outside: SAD under another name."

ALL = np.ones(64, bool)

STEPS = FAST.replace(projector='train', repeats='separate', batch=16)

LITERAL = dict(linear_path=False, tau=(.004, .004), lambda_softclip=.5, dropout=0.)
