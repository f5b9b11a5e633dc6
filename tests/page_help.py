"""What the tests of the page's rooms share: a study with hostile texts, and tables of made-up results."""
import numpy as np
import pandas as pd
import pytest
from semvideo.core import Decoded, rng_for, write_csv, Study, write_npy
from semvideo.report import OURS


N, F = 24, 4


def row(system, metric, value, chance=.125, variant='judged', gain=None, direction='higher', **kw):
    g = {} if gain is None else dict(gain=gain, gain_low=gain - .05, gain_high=gain +
                                     .05, beaten='yes' if gain > .05 else 'no')
    return {
        **dict(subject=1, split='test', profile='strict', system=system, metric=metric, variant=variant, unit='accuracy', direction=direction, n=N, value=value, low=value - .05, high=value + .05, chance=chance),
        **g,
        **kw
    }


def decoded_of(study, noise):
    t = {l: np.load(study.path/f'targets/test/{l}.npy') for l in ('anchor', 'motion', 'holistic')}
    return Decoded(
        **{
            l: (v + noise*rng_for('noise', l).standard_normal(v.shape)).astype(np.float32)
            for l, v in t.items()
        }, latents=np.zeros((N, F, 4, 2, 2), np.float32))


def recon_of(study): return np.asarray(study.frames('train'))[:N]


def full(study, noise=.3):
    decoded_of(study, noise).save(study.path/'decode/sub-1/test.safetensors')
    rows = [
        row(OURS, 'kind', .8),
        row('mean video', 'kind', .1, gain=.7),
        row('shuffled fMRI', 'kind', .15, gain=.65),
        row(OURS, 'EPE', 2., np.nan, direction='lower'),
        row('mean video', 'EPE', 1.5, np.nan, gain=-.5, direction='lower')
    ]
    write_csv(study.path/'evaluate/sub-1/results.csv', pd.DataFrame(rows))
    write_csv(
        study.path/'evaluate/sub-1/clips.csv',
        pd.DataFrame(
            dict(system=OURS, clip_id=study.clip_ids('test'), metric='kind', variant='judged',
                 value=np.arange(N)/N, chance=.125, unit='accuracy')))
    return study


NULLS, RIVALS = ('static first frame', 'mean image', 'mean video', 'random training clip',
                 'frozen first frame', 'shuffled fMRI',
                 'shifted fMRI'), ('nearest training clip', 'VAE round trip', 'true conditions',
                                   'second seed', 'ridge')


def wide_results(study):
    "As many systems as `evaluate` scores, each with numbers of its own."
    out = []
    for k, (m, v, lower) in enumerate([('kind', 'judged', 0), ('2-way-I', 'strict top-1', 0),
                                       ('SSIM', 'strict', 0), ('EPE', 'strict', 1)]):
        kw = dict(
            variant=v, direction='lower' if lower else 'higher', chance=.3 + k/100,
            unit='px/frame at 64x64 px, 4 fps' if lower else 'ssim' if m == 'SSIM' else 'accuracy',
            corrected=.7 + k/100)
        out.append(row(OURS, m, .5 + k/1000, **kw))
        out += [
            row(s, m, .1037 + i/19 + k/1000, gain=.25 - i/23, **{
                **kw, 'n': 16 if s in RIVALS[1:] else N
            }) for i, s in enumerate(NULLS + RIVALS)
        ]
    write_csv(study.path/'evaluate/sub-1/results.csv', pd.DataFrame(out))
    return pd.DataFrame(out)


def make_study(path):
    "A study of N test clips whose words are hostile."
    ids = [f'test1-{i:03d}' for i in range(N)] + [f'seg1-{i:03d}' for i in range(40)]
    clips = pd.DataFrame(
        dict(clip_id=ids, split=['test']*N + ['train']*40, segment=['test1']*N + ['seg1']*40,
             onset_s=[2.*i for i in range(N)] + [2.*i for i in range(40)], duration_s=2.,
             source='x.mp4'))
    s = Study.create(path, 'a <b>bold</b> study', 'made & tested', clips)
    r = rng_for('test_report')
    for split, n in (('test', N), ('train', 40)):
        write_npy(s.path/f'frames/{split}.npy', r.integers(0, 256, (n, F, 16, 16, 3),
                                                           dtype=np.uint8))
        s.save_captions(
            split,
            pd.DataFrame({
                'clip_id': s.clip_ids(split),
                **{
                    l: [f'{l} <script>alert({i})</script> & "{split}"' for i in range(n)]
                    for l in ('basic', 'anchor', 'motion', 'holistic')
                }
            }))
        for l in ('anchor', 'motion', 'holistic'):
            write_npy(s.path/f'targets/{split}/{l}.npy',
                      r.standard_normal((n, 3, 4)).astype(np.float32))
    s.save_fmri(1, 'test', np.zeros((N, 1, 3), np.float32))
    return s


@pytest.fixture
def study(tmp_path): return make_study(tmp_path/'study')
