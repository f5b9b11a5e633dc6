"340_tripartite: the branches of attention, and that no clip sees another."
import torch
from semvideo.mad import TripartiteAttention, parts
from mad_help import make

def test_real_diffusers_blocks():
    Attention,Mid,Up = parts(); d = make().decoder
    assert type(d.mid) is Mid and [type(b) for b in d.ups
                                   ] == [Up]*3 and [b.upsamplers is not None
                                                    for b in d.ups] == [True, True, False]
    assert all(
        isinstance(a, TripartiteAttention)
        and type(a.spatial) is type(a.temporal) is type(a.cross) is Attention
        for b in (d.mid, *d.ups)
        for a in b.attentions)

def test_the_peers_batch_wide_attention_would_fail_that():
    "The same layer, told that time is batch * frames, mixes clips: the test above can fail."
    torch.manual_seed(0)
    a = make().decoder.mid.attentions[0].eval()
    x = torch.randn(6, 16, 2, 2)
    x2 = x.clone()
    x2[3:] += torch.randn(3, 16, 2, 2)
    with torch.no_grad(): d = a(x, torch.randn(1, 5, 8), 6)-a(x2, torch.randn(1, 5, 8), 6)
    assert d[:3].abs().max() > 1e-3

def test_all_branches_matter_and_learn_at_the_start():
    m = make()
    x,t = torch.randn(3, 20), torch.randn(3, 5, 8)
    m.loss(x, t, torch.randn(3, 3, 4, 8, 8), 1)['loss'].backward()
    for a in [a for b in (m.decoder.mid, *m.decoder.ups) for a in b.attentions]:
        assert a.lambda_temp.item() == 1 and a.lambda_temp.grad != 0 and a.lambda_spat.grad != 0
        assert all(layer.to_v.weight.grad.abs().max() > 0
                   for layer in (a.spatial, a.temporal, a.cross))

def test_a_frame_sees_the_other_frames_of_its_clip():
    a = make().decoder.mid.attentions[0].eval()
    x,t = torch.randn(4, 16, 2, 2), torch.randn(1, 5, 8)
    x2 = x.clone()
    x2[3] += torch.randn(16, 2, 2)
    with torch.no_grad():
        seen = (a(x, t, 4)-a(x2, t, 4)).abs().amax((1, 2, 3))
        a.lambda_temp.zero_()
        a.cross.to_q.weight.zero_()
        blind = (a(x, t, 4)-a(x2, t, 4)).abs().amax((1, 2, 3))
    assert (seen[:3] > 1e-4).all() and (blind[:3] < 1e-6).all()
