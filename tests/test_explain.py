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
        'latents.csv', 'latents_gradient.png', 'latents_roi.csv', 'maps.L.func.gii', 'maps.R.func.gii', 'maps.dscalar.nii', 'motion.csv',
        'motion_gradient.png', 'motion_roi.csv', 'planted.csv'
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
