"358_train_study: decoders from outside, and what the table of a training shows."
import numpy as np, pytest
from semvideo import sad, train
from semvideo.core import SemvideoError
from semvideo.toy import TOY_MAD, TOY_SAD, toy_study as small_study
from train_help import FAST, Mine

@pytest.fixture
def register():
    "The register of decoders, as it was before once the test is over."
    before = dict(train.DECODERS), dict(train.DECODER_CLASSES)
    yield train.register_decoder
    for now,then in zip((train.DECODERS, train.DECODER_CLASSES), before):
        now.clear()
        now.update(then)

def toy_recipe():
    "The miniature's recipe at the size of the package's toy study, one epoch a stage."
    small = train.RECIPES['miniature'].to_dict()
    small['sad'] |= TOY_SAD
    small['mad'] |= TOY_MAD
    for k in small:
        if k.endswith(('pretrain', 'tune')): small[k] |= dict(epochs=1, batch=32)
    return small

def test_a_decoder_from_outside_needs_one_registration(tmp_path, register):
    quick = FAST.replace(epochs=1, validate=0)
    register('mine', Mine, lambda study, n, model: Mine(n, sad.SAD_MINIATURE, **model),
             model=dict(TOY_SAD, level='anchor'), pretrain=quick, tune=quick)
    study = small_study(tmp_path/'study')
    train.train_study(study, 1, toy_recipe(), parts=('mine', 'sad-motion', 'sad-holistic', 'mad'),
                      seed=3)
    module = train.load(study.path/'train/sub-1/mine')
    assert type(module) is Mine and list(module.n_voxels) == [1]
    assert study.stages()['train/sub-1/mine']['config']['decoder'] == 'Mine' and study.stages(
    )['train/sub-1/mine']['config']['train']['seed'] == 3
    with pytest.raises(SemvideoError): train.decode_study(study, 1) # sad-anchor was not trained
    d = train.decode_study(study, 1, parts=('mine', 'sad-motion', 'sad-holistic', 'mad'))
    x = np.nanmean(np.asarray(study.fmri(1, 'test')), 1)
    np.testing.assert_array_equal(d.anchor, train.decode(module, x, 1, ids=study.clip_ids('test')))
    with pytest.raises(SemvideoError, match='told motion states'):
        train.decode_study(study, 1, parts=('mad', 'mine', 'sad-motion', 'sad-holistic'),
                           force=True)

def test_a_part_may_be_replaced_by_name(tmp_path, register):
    register('sad-anchor', Mine, lambda study, n, model: Mine(n, {
        **model, 'level': 'anchor'
    }), family='sad')
    study = small_study(tmp_path/'study')
    train.train_study(study, 1, toy_recipe(), parts=('sad-anchor',))
    assert type(train.load(study.path/'train/sub-1/sad-anchor')) is Mine

def test_the_training_table_shows_more_than_identification(tmp_path):
    study = small_study(tmp_path/'study')
    table = train.train_study(study, 1, toy_recipe(), parts=('sad-motion', 'mad'))
    assert {'identification', 'r2', 'norm', 'gradients', 'on'} <= set(table)
    assert (table.on == 'training').all() and table.gradients.str.startswith(('mse', 'l1')).all()
