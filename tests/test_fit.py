"356_fit: validation, refusals, and a decoder that starts as good as ridge."
import numpy as np, pytest, torch
from semvideo import train
from semvideo.core import SemvideoError
from semvideo.targets import target
from train_help import FAST, study as study, make, STEPS, LITERAL

def test_validation_holds_whole_segments_and_changes_nothing_else(study, tmp_path):
    r = train.fit(make(), study, FAST)
    assert 'val_identification' in r.table() and r.best <= FAST.epochs
    assert not [e for e in study.events() if e.get('split') == 'test']
    with pytest.raises(SemvideoError, match='all training segments'):
        train.fit(make(), study, FAST.replace(validate=4))
    with pytest.raises(SemvideoError, match='trains nothing'):
        train.training_data(study, make(), split='test')

def test_refit_uses_all_segments(study):
    assert len(train.fit(make(), study, FAST.replace(refit=True)).history) == FAST.epochs

def test_divergence_is_told(study):
    with pytest.raises(SemvideoError, match='diverged'):
        train.fit(make(), study, FAST.replace(validate=0, lr=1e30, projector='train', warmup=0.))

def test_not_worse_than_ridge_on_a_linear_brain(study):
    "Identification of test clips: within 2 points of the ridge it starts from."
    from semvideo.baselines import Ridge
    m = train.fit(make(), study, FAST.replace(validate=0)).module
    x,xt = (np.asarray(study.fmri(1, s)).mean(1) for s in ('train', 'test'))
    y,yt = (np.asarray(target(study, s, 'holistic')) for s in ('train', 'test'))
    ridge = Ridge().fit(x, y, study.select('train').segment.to_numpy()).predict(xt)
    score = lambda p: train.own_above_others(m.states(torch.as_tensor(p)),
                                             m.states(torch.as_tensor(yt))).mean().item()
    with torch.no_grad(): ours = score(m(torch.tensor(xt), 1))
    assert ours > .7 and ours > score(ridge)-.02

def test_balanced_training_explains_more_than_as_written(study):
    "Held-out variance explained, not identification, shows what a contrast at tau .004 does."
    def trained(balance):
        c = STEPS.replace(epochs=30, balance=balance, repeats='average', save_every=100)
        return train.fit(make(**LITERAL), study, c).judged
    written,balanced = map(trained, (False, True))
    assert balanced['r2'] > written['r2']
