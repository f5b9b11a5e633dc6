"344_mad: what a reader of the notebook would skip."
import pytest, torch
from semvideo import mad
from semvideo.core import SemvideoError, torch_generator
from semvideo.mad import MadConfig, frame_contrast
from mad_help import make

@pytest.mark.parametrize('latent', [(4, 28, 28), (4, 16, 16), (4, 8, 8), (4, 8, 12)])
def test_latent_sizes(latent):
    m = make(latent=latent)
    x,t = torch.randn(2, 20), torch.randn(2, 5, 8)
    y = m(x, t, 1)
    assert y.shape == (2, 3, *latent)
    m.loss(x, t, torch.randn_like(y), 1)['loss'].backward()
    assert m.projector['2'].weight.grad is None and m.projector['1'].weight.grad.abs().max() > 0

def test_a_clip_depends_on_no_other_clip():
    """The peers' temporal attention runs over the whole batch; here a change of clip 1 leaves clips 0
    and 2 as they were."""
    m = make().eval()
    x,t = torch.randn(3, 20), torch.randn(3, 5, 8)
    x2,t2 = x.clone(), t.clone()
    x2[1] += 3
    t2[1] += 3
    with torch.no_grad(): a,b = m(x, t, 1), m(x2, t2, 1)
    torch.testing.assert_close(a[[0, 2]], b[[0, 2]], atol=1e-5, rtol=1e-5)
    assert (a[1]-b[1]).abs().max() > 1e-3

def test_all_text_tokens_are_heard():
    m = make().eval(); x,t = torch.randn(1, 20), torch.randn(1, 5, 8)
    with torch.no_grad():
        base = m(x, t, 1)
        for k in range(5):
            u = t.clone()
            u[:,k] += 2*torch.randn(8)
            assert (m(x, u, 1)-base).abs().max() > 1e-4

def test_contrast_is_symmetric_and_ideal_at_the_truth():
    z = torch.randn(10, 20); p = torch.randn(10, 20)
    torch.testing.assert_close(frame_contrast(p, z, .2), frame_contrast(z, p, .2))
    assert frame_contrast(z, z, .01) < 1e-3 < frame_contrast(p, z, .01)

def test_text_mixing_is_off_in_eval_and_reproducible():
    m = make(dropout=0., dropout_embed=0., text_mix=1.)
    x,t,y = torch.randn(4, 20), torch.randn(4, 5, 8), torch.randn(4, 3, 4, 8, 8)
    l1 = lambda s: m.loss(x, t, y, 1, generator=torch_generator(s))['l1'].item()
    assert l1(0) == l1(0) != l1(1)
    m.eval()
    assert l1(0) == l1(1)

@pytest.mark.parametrize('bad, says', [(lambda m: m(torch.randn(2, 20), torch.randn(2, 8), 1), r'\(2, 5, 8\)'), (lambda m: m(torch.randn(2, 20), torch.randn(3, 5, 8), 1), r'\(2, 5, 8\)'),
    (lambda m: m(torch.randn(2, 20), torch.randn(2, 5, 8), 7), 'subject 7'), (lambda m: make(latent=(4, 10, 8)), 'divisible by 4'), (lambda m: make(lamda_temp=2), 'lambda_temp')])
def test_bad_input_is_one_clear_error(bad, says):
    with pytest.raises(SemvideoError, match='(?s)'+says): bad(make())

def test_config_round_trip():
    assert MadConfig.from_json(mad.MAD_PAPER.to_json()) == mad.MAD_PAPER

def test_a_mad_with_filters_saves_and_loads(tmp_path):
    from semvideo.train import load, save
    m = make(linear_path=True, motion_filter=3)
    torch.nn.init.normal_(m.filter.weight)
    torch.nn.init.normal_(m.filter.basis)
    save(m, tmp_path)
    n = load(tmp_path)
    x,t = torch.randn(2, 20), torch.randn(2, 5, 8)
    torch.testing.assert_close(n(x, t, 1), m.eval()(x, t, 1))
    assert (n(x, t, 1)-n(x, t.roll(1, 0), 1)).abs().max() > 1e-3
