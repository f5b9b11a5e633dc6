"352_checkpoint: what is saved is what is loaded, and another run's checkpoint is refused."
import numpy as np, pytest, torch
from semvideo import sad, train
from semvideo.core import SemvideoError
from train_help import TOY, FAST, study as study, make, Mine, ALL, STEPS

def test_saved_and_loaded_is_the_same(study, tmp_path):
    r = train.fit(make(), study, FAST.replace(validate=0), out=tmp_path/'m')
    again = train.load(tmp_path/'m')
    x = torch.randn(3, 20)
    with torch.no_grad(): assert torch.equal(again(x, 1), r.module(x, 1))
    assert sorted(p.name for p in (tmp_path/'m').iterdir()) == [
        'config.json', 'history.csv', 'model.safetensors'
    ]
    (tmp_path/'m/model.safetensors').write_bytes(b'x'*40)
    with pytest.raises(SemvideoError, match='safetensors'): train.load(tmp_path/'m')

def test_checkpoint_of_other_settings_is_refused(study, tmp_path):
    data = train.training_data(study, make())
    train.run(make(), data, FAST, np.ones(64, bool), out=tmp_path, stop_after=1)
    with pytest.raises(SemvideoError, match='another run'):
        train.run(make(), data, FAST.replace(lr=.1), np.ones(64, bool), out=tmp_path)

def test_a_decoder_that_is_not_registered_here_is_refused(tmp_path):
    torch.manual_seed(0)
    train.save(Mine({1: 20}, sad.SAD_MINIATURE, **TOY), tmp_path)
    with pytest.raises(SemvideoError, match='(?s)Unknown kind of decoder.*Mine'):
        train.load(tmp_path)

def test_a_run_in_another_format_does_not_go_on_from_a_checkpoint(study, tmp_path):
    data = train.training_data(study, make())
    train.run(make(), data, STEPS, ALL, out=tmp_path, stop_after=1)
    with pytest.raises(SemvideoError, match='another run'):
        train.run(make(), data, STEPS.replace(precision='bf16'), ALL, out=tmp_path)
