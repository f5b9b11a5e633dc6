"334_refineformer: causal, neutral at the start, and of use."
import pytest, torch
import torch.nn.functional as F
from semvideo import sad
from semvideo.core import torch_generator
from semvideo.sad import denoise_tokens

@pytest.mark.parametrize('how', ['sequence', 'channel'])
def test_refineformer_is_causal_in_the_noisy_tokens(how):
    r = sad.Refineformer(6, 8, 2, 2, 4, conditioning=how, skip=0.)
    a,c = torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    b = a.clone()
    b[:,3,0] += 1
    t = torch.tensor([5, 90])
    with torch.no_grad(): d = (r(a, t, c)-r(b, t, c)).abs().amax((0, 2)) > 1e-7
    assert d.tolist() == [False]*3+[True]*3

def test_untrained_refinement_averages_to_its_condition():
    "With a neutral transformer, many refined samples have the tokens as their mean."
    r = sad.Refineformer(3, 4, 1, 1, 4, skip=.5)
    c = torch.randn(1, 3, 4).repeat(4000, 1, 1)
    with torch.no_grad():
        x = denoise_tokens(r, torch.randn(c.shape, generator=torch_generator(0)), c, 50)
    assert (x.mean(0)-c[0]).abs().max() < .06 and x.std(0).mean() > .3

def test_refine_learns_a_two_valued_target():
    "What refinement is for: tokens that hover between two captions are sent to one of them."
    torch.manual_seed(0)
    r = sad.Refineformer(2, 4, 1, 2, 8, skip=.5)
    opt = torch.optim.AdamW(r.parameters(), 3e-3)
    ends = torch.tensor([[[1.]*4]*2, [[-1.]*4]*2])
    for _ in range(250):
        y = ends[torch.randint(2, (64,))]
        t = torch.randint(100, (64,))
        a = r.abar[t][:,None,None]
        loss = F.mse_loss(r(a.sqrt()*y+(1-a).sqrt()*torch.randn_like(y), t, torch.zeros_like(y)), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        x = denoise_tokens(r, torch.randn(200, 2, 4), torch.zeros(200, 2, 4), 20)
    assert (x.abs().mean() > .8) and .2 < (x.mean((1, 2)) > 0).float().mean() < .8
