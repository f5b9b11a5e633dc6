"MAD: what a reader of the notebook would skip."
import pytest, torch
from semvideo import mad
from semvideo.core import SemvideoError, torch_generator
from semvideo.mad import MAD, MadConfig, TripartiteAttention, frame_contrast, parts

SMALL = dict(text_tokens=5, text_dim=8, hidden=12, mlp=(16, 16, 16), embed=8, features=8, channels=(8, 8, 16), groups=4, head_dim=8)
def make(frames=3, **kw): torch.manual_seed(0); return MAD({1: 20, 2: 30}, frames, mad.MINIATURE, **{**SMALL, 'linear_path': False, **kw})

@pytest.mark.parametrize('latent', [(4, 28, 28), (4, 16, 16), (4, 8, 8), (4, 8, 12)])
def test_latent_sizes(latent):
    m = make(latent=latent); x,t = torch.randn(2, 20), torch.randn(2, 5, 8); y = m(x, t, 1)
    assert y.shape == (2, 3, *latent)
    m.loss(x, t, torch.randn_like(y), 1)['loss'].backward()
    assert m.projector['2'].weight.grad is None and m.projector['1'].weight.grad.abs().max() > 0

def test_real_diffusers_blocks():
    Attention,Mid,Up = parts(); d = make().decoder
    assert type(d.mid) is Mid and [type(b) for b in d.ups] == [Up]*3 and [b.upsamplers is not None for b in d.ups] == [True, True, False]
    assert all(isinstance(a, TripartiteAttention) and type(a.spatial) is type(a.temporal) is type(a.cross) is Attention for b in (d.mid, *d.ups) for a in b.attentions)

def test_a_clip_depends_on_no_other_clip():
    "The peers' temporal attention runs over the whole batch; here a change of clip 1 leaves clips 0 and 2 as they were."
    m = make().eval(); x,t = torch.randn(3, 20), torch.randn(3, 5, 8); x2,t2 = x.clone(), t.clone(); x2[1] += 3; t2[1] += 3
    with torch.no_grad(): a,b = m(x, t, 1), m(x2, t2, 1)
    torch.testing.assert_close(a[[0, 2]], b[[0, 2]], atol=1e-5, rtol=1e-5); assert (a[1]-b[1]).abs().max() > 1e-3

def test_the_peers_batch_wide_attention_would_fail_that():
    "The same layer, told that time is batch * frames, mixes clips: the test above can fail."
    torch.manual_seed(0); a = make().decoder.mid.attentions[0].eval(); x = torch.randn(6, 16, 2, 2); x2 = x.clone(); x2[3:] += torch.randn(3, 16, 2, 2)
    with torch.no_grad(): d = a(x, torch.randn(1, 5, 8), 6)-a(x2, torch.randn(1, 5, 8), 6)
    assert d[:3].abs().max() > 1e-3

def test_all_branches_matter_and_learn_at_the_start():
    m = make(); x,t = torch.randn(3, 20), torch.randn(3, 5, 8); m.loss(x, t, torch.randn(3, 3, 4, 8, 8), 1)['loss'].backward()
    for a in [a for b in (m.decoder.mid, *m.decoder.ups) for a in b.attentions]:
        assert a.lambda_temp.item() == 1 and a.lambda_temp.grad != 0 and a.lambda_spat.grad != 0
        assert all(layer.to_v.weight.grad.abs().max() > 0 for layer in (a.spatial, a.temporal, a.cross))

def test_a_frame_sees_the_other_frames_of_its_clip():
    a = make().decoder.mid.attentions[0].eval(); x,t = torch.randn(4, 16, 2, 2), torch.randn(1, 5, 8); x2 = x.clone(); x2[3] += torch.randn(16, 2, 2)
    with torch.no_grad(): seen = (a(x, t, 4)-a(x2, t, 4)).abs().amax((1, 2, 3)); a.lambda_temp.zero_(); a.cross.to_q.weight.zero_(); blind = (a(x, t, 4)-a(x2, t, 4)).abs().amax((1, 2, 3))
    assert (seen[:3] > 1e-4).all() and (blind[:3] < 1e-6).all()

def test_all_text_tokens_are_heard():
    m = make().eval(); x,t = torch.randn(1, 20), torch.randn(1, 5, 8)
    with torch.no_grad():
        base = m(x, t, 1)
        for k in range(5): u = t.clone(); u[:,k] += 2*torch.randn(8); assert (m(x, u, 1)-base).abs().max() > 1e-4

def test_contrast_is_symmetric_and_ideal_at_the_truth():
    z = torch.randn(10, 20); p = torch.randn(10, 20)
    torch.testing.assert_close(frame_contrast(p, z, .2), frame_contrast(z, p, .2)); assert frame_contrast(z, z, .01) < 1e-3 < frame_contrast(p, z, .01)

def test_text_mixing_is_off_in_eval_and_reproducible():
    m = make(dropout=0., dropout_embed=0., text_mix=1.); x,t,y = torch.randn(4, 20), torch.randn(4, 5, 8), torch.randn(4, 3, 4, 8, 8); l1 = lambda s: m.loss(x, t, y, 1, generator=torch_generator(s))['l1'].item()
    assert l1(0) == l1(0) != l1(1); m.eval(); assert l1(0) == l1(1)

@pytest.mark.parametrize('bad, says', [(lambda m: m(torch.randn(2, 20), torch.randn(2, 8), 1), r'\(2, 5, 8\)'), (lambda m: m(torch.randn(2, 20), torch.randn(3, 5, 8), 1), r'\(2, 5, 8\)'),
    (lambda m: m(torch.randn(2, 20), torch.randn(2, 5, 8), 7), 'subject 7'), (lambda m: make(latent=(4, 10, 8)), 'divisible by 4'), (lambda m: make(lamda_temp=2), 'lambda_temp')])
def test_bad_input_is_one_clear_error(bad, says):
    with pytest.raises(SemvideoError, match='(?s)'+says): bad(make())

def test_config_round_trip(): assert MadConfig.from_json(mad.PAPER.to_json()) == mad.PAPER
