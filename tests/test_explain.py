"""630_explain, 690_neuro: the stage writes everything twice the same, and says what is missing."""
import numpy as np
import pandas as pd
import pytest
from semvideo.core import SemvideoError, Study, read_csv, write_json
from semvideo.neuro import ExplainConfig, explain_study, load_roles
from brain_help import Decoder, ROLES, voxels as voxels, decoder as decoder, fmri as fmri


def test_explain_study_writes_everything_twice_the_same(decoder, fmri, voxels, tmp_path):
    clips = pd.DataFrame(
        dict(clip_id=[f'c{i}' for i in range(40)], split='test', segment='test1',
             onset_s=np.arange(40)*2., duration_s=2., source='x.mp4'))
    made = []
    for name in ('a', 'b'):
        study = Study.create(tmp_path/name, 's', 'a test', clips)
        study.save_fmri(1, 'test', fmri[:, None])
        study.save_voxels(1, voxels)
        write_json(study.path/'truth/parcels.json', ROLES)
        st = explain_study(study, 1, ExplainConfig(n_null=49, n_probes=2, methods=('gradient', )),
                           decoders={
                               'motion': decoder,
                               'latents': decoder
                           }, seed=3)
        made.append(st.dir)
    names = sorted(p.name for p in made[0].iterdir())
    assert names == [
        'latents.csv', 'latents_gradient.png', 'latents_gradient_narrow.png', 'latents_roi.csv', 'maps.L.func.gii', 'maps.R.func.gii',
        'maps.dscalar.nii', 'motion.csv', 'motion_gradient.png', 'motion_gradient_narrow.png', 'motion_roi.csv', 'planted.csv'
    ]
    assert all(
        (made[0]/n).read_bytes() == (made[1]/n).read_bytes() for n in names if n.endswith('csv'))
    t = read_csv(made[0]/'planted.csv')
    assert t[(t.level == 'motion') & t.expected].auc.item() > .95
    assert len(read_csv(
        made[0]/'motion.csv')) == len(voxels) and study.events()[-1]['by'] == 'explain'


def test_explain_study_says_what_is_missing(fmri, voxels, tmp_path):
    clips = pd.DataFrame(
        dict(clip_id=['a', 'b'], split='test', segment='t', onset_s=[0., 2.], duration_s=2.,
             source='x.mp4'))
    study = Study.create(tmp_path/'s', 's', 'a test', clips)
    study.save_fmri(1, 'test', fmri[:2, None])
    study.save_voxels(1, voxels)
    with pytest.raises(SemvideoError, match='semvideo train'): explain_study(study, 1)
    with pytest.raises(SemvideoError, match='semvideo decode'):
        explain_study(study, 1, decoders={'latents': Decoder(np.ones(len(voxels)))})
    with pytest.raises(SemvideoError, match="did you mean 'method"):
        explain_study(study, 1, method='haufe')
    with pytest.raises(SemvideoError, match='No planted truth'):
        load_roles(study, tmp_path/'nothing')
    assert load_roles(study) is None


def planted_study(path, seed, wrong=False, levels=('anchor', 'motion')):
    "V1 follows the anchor's targets, MT motion's, area 4 nothing; linear read-outs of each as decoders, (study, decoders)."
    import torch
    from semvideo.core import write_npy
    from semvideo.cortex import toy_voxels
    voxels = toy_voxels()
    voxels = voxels.groupby(['parcel', 'hemisphere']).head(15).reset_index(drop=True)
    rng, n = np.random.default_rng(seed), 160
    smooth = lambda *s: sum(np.roll(rng.standard_normal(s), k, 0) for k in range(3))
    signal = {level: smooth(2*n, 4) for level in levels}
    x = smooth(2*n, len(voxels))
    for level, area in zip(levels, ('V1', 'MT')):
        inside = (voxels.parcel == area).to_numpy()
        x[:, inside] += signal[level] @ rng.standard_normal((4, inside.sum()))
    rows = [dict(clip_id=f'{split}{i:03d}', split=split, segment=split, onset_s=2.*i, duration_s=2., source='x.mp4')
            for split in ('train', 'test') for i in range(n)]
    study = Study.create(path, 's', 'a test', pd.DataFrame(rows))
    study.save_voxels(1, voxels)
    study.save_fmri(1, 'train', x[:n, None].astype(np.float32))
    study.save_fmri(1, 'test', x[n:, None].astype(np.float32))

    class Linear(torch.nn.Module):
        def __init__(self, w):
            super().__init__()
            self.layer = torch.nn.Linear(*w.shape, bias=False)
            self.layer.weight.data = torch.tensor(w.T, dtype=torch.float32)
        def forward(self, fmri, subject): return self.layer(fmri).reshape(len(fmri), 2, 2)

    decoders = {}
    for level, y in signal.items():
        for split, part in (('train', y[:n]), ('test', y[n:])):
            write_npy(study.path/f'targets/{split}/{level}.npy', part.reshape(n, 2, 2).astype(np.float32))
        learned = np.roll(y[:n], n//2, 0) if wrong else y[:n]
        decoders[level] = Linear(np.linalg.solve(x[:n].T @ x[:n] + 100*np.eye(len(voxels)), x[:n].T @ learned))
    return study, decoders


SMALL = dict(n_decoders=99, methods=('haufe',), occlusion=False)


def test_what_is_decoded_rightly_is_found_and_drawn(tmp_path):
    import nibabel as nib
    study, decoders = planted_study(tmp_path/'s', 0)
    d = explain_study(study, 1, decoders=decoders, **SMALL).dir
    for level, area in (('anchor', 'V1'), ('motion', 'MT')):
        t = read_csv(d/f'{level}_roi.csv')
        assert set(t.parcel[t.p <= .05]) == {area} and (t[['p_decoders', 'p_shifts']].max(axis=1) == t.p).all()
        assert (d/f'{level}_agreement.png').is_file()
    t = read_csv(d/'motion_minus_anchor.csv')
    assert set(t.parcel[(t.p <= .05) & (t['mean'] > 0)]) == {'MT'} and set(t.parcel[(t.p <= .05) & (t['mean'] < 0)]) == {'V1'}
    img = nib.load(d/'maps.dscalar.nii')
    names = list(img.header.get_axis(0).name)
    assert names == ['anchor agreement', 'anchor haufe', 'motion agreement', 'motion haufe', 'motion minus anchor']
    csv, axis = read_csv(d/'motion.csv'), img.header.get_axis(1)
    at = {(name[15:], int(v)): x for name, v, x in zip(axis.name, axis.vertex, img.get_fdata()[2])}
    side = dict(L='_CORTEX_LEFT', R='_CORTEX_RIGHT')
    got = [at[side[h], v] for h, v in zip(csv.hemisphere, csv.vertex)]
    assert np.allclose(got, csv.agreement, rtol=1e-5)
    lag = read_csv(d/'lag.csv')
    assert set(lag.group) == {'early visual areas', 'motion areas'} and (d/'lag.png').is_file() and (d/'lag_narrow.png').is_file()
    best = lag[lag.peak].set_index(['level', 'group'])
    assert best.lag_s['anchor', 'early visual areas'] == best.lag_s['motion', 'motion areas'] == 0
    left = nib.load(d/'maps.L.func.gii')
    assert left.darrays[0].data.shape == (32492,) and left.meta['AnatomicalStructurePrimary'] == 'CortexLeft'
    assert np.isfinite(left.darrays[0].data).sum() == (csv.hemisphere == 'L').sum()


def test_decoders_that_learned_from_other_clips_have_no_area(tmp_path):
    "20 studies, two levels each: a significant parcel in one or two of them at most."
    from semvideo.agreement import carried_table
    from semvideo.explain import ExplainConfig, _carried_level, _tested
    wrong, config = [], ExplainConfig(**SMALL)
    for seed in range(20):
        study, decoders = planted_study(tmp_path/f's{seed}', seed, True)
        tested = _tested(study, 1, config)
        wrong += [(carried_table(_carried_level(study, level, m, tested, decoders, config).tests).p <= .05).any()
                  for level, m in decoders.items()]
    assert np.mean(wrong) <= .125


def test_without_targets_the_first_map_is_tested_as_before(tmp_path):
    import shutil
    study, decoders = planted_study(tmp_path/'s', 0)
    shutil.rmtree(study.path/'targets/train')
    d = explain_study(study, 1, decoders=decoders, n_null=49, **SMALL).dir
    assert 'q' in read_csv(d/'anchor_roi.csv') and not (d/'motion_minus_anchor.csv').exists() and not (d/'anchor_agreement.png').exists()
