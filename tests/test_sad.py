"338_sad: what a reader of the notebook would skip."
import pytest, torch
import torch.nn.functional as F
from semvideo import sad
from semvideo.core import SemvideoError, torch_generator
from semvideo.sad import SadConfig
from sad_help import make

def test_config_round_trip_and_unknown_name():
    assert SadConfig.from_json(sad.SAD_MINIATURE.to_json(
    )) == sad.SAD_MINIATURE and sad.SAD_PAPER.hash != sad.SAD_MINIATURE.hash
    with pytest.raises(SemvideoError, match='lambda_refine'):
        SadConfig.from_dict(dict(lamda_refine=1))

@pytest.mark.parametrize('config', [sad.SAD_PAPER, sad.SAD_MINIATURE])
def test_same_code_for_both_presets(config):
    m = make(config); x,y = torch.randn(6, 30), torch.randn(6, 5, 8)
    assert m(x, 'two').shape == (6, 5, 8)
    m.loss(x, y, 'two')['loss'].backward()
    assert m.projector['two'].weight.grad is not None and m.projector['1'].weight.grad is None
    assert m.eval().refine(m(x, 'two'), generator=torch_generator(1)).shape == (6, 5, 8)

def test_all_parameters_learn():
    "No part of the model is dead (with a plain, untrained start)."
    m = make(linear_path=False, skip=0.); seen = set()
    for s,v in m.n_voxels.items():
        m.zero_grad()
        m.loss(torch.randn(6, v), torch.randn(6, 5, 8), s)['loss'].backward()
        seen |= {k for k,p in m.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert seen >= {k for k,_ in m.named_parameters()} - {'refineformer.time.weight'}

def test_standardised_output_returns_in_the_encoders_scale():
    m = make()
    y = torch.randn(50, 5, 8)*torch.linspace(.1, 50, 8)+3
    m.states.fit(y)
    torch.testing.assert_close(m.states.inverse(m.states(y)), y, atol=1e-3, rtol=1e-4)
    # nothing known: near the mean, in the encoder's scale
    with torch.no_grad(): out = m.eval()(torch.zeros(1, 20), 1)
    assert (out-y.mean(0)).abs().max() < 60

def test_mixco_ends_and_is_off_in_eval():
    m = make(mixco_until=.5, lambda_refine=0.)
    x,y = torch.randn(16, 20), torch.randn(16, 5, 8)
    m.mlp.eval()
    mse = lambda p: m.loss(x, y, 1, progress=p, generator=torch_generator(0))['mse'].item()
    with torch.no_grad():
        plain = F.mse_loss(m.tokens(m.project(x, 1)), m.states(y)).item()
    assert mse(.4) != pytest.approx(plain) and mse(.6) == pytest.approx(plain)
    m.eval()
    assert mse(.1) == pytest.approx(plain)

def test_a_clip_does_not_depend_on_its_batch():
    m = make().eval()
    x = torch.randn(5, 20)
    gens = lambda k: [torch_generator('r', i) for i in k]
    with torch.no_grad():
        a = m.refine(m(x, 1), generator=gens(range(5)))
        b = m.refine(m(x[[3, 1]], 1), generator=gens([3, 1]))
    torch.testing.assert_close(a[[3, 1]], b, atol=1e-5, rtol=1e-5)

@pytest.mark.parametrize('bad, says', [(lambda m: m(torch.randn(2, 21), 1), '20 voxels'), (lambda m: m(torch.randn(2, 2, 20), 1), '20 voxels'), (lambda m: m(torch.randn(2, 20), 9), 'subject 9'),
    (lambda m: m(torch.full((2, 20), float('nan')), 1), '40 values'), (lambda m: make(conditioning='both'), 'sequence or channel')])
def test_bad_input_is_one_clear_error(bad, says):
    with pytest.raises(SemvideoError, match='(?s)'+says): bad(make())
