"332_softclip: SoftCLIP against a plain loop, MixCo, the ramp."
import numpy as np, torch
import torch.nn.functional as F
from semvideo.core import torch_generator
from semvideo.sad import mixco, ramp, softclip
from sad_help import make

def test_softclip_against_a_plain_loop():
    p,t = torch.randn(7, 12), torch.randn(7, 12)
    n = lambda v: (v/v.norm(dim=1, keepdim=True)).double().numpy()
    a,b = n(p),n(t)
    tau = .1
    total = 0
    for one,two in ((a@b.T, b@b.T), (b@a.T, b@b.T)):
        for i in range(7):
            q = np.exp(two/tau)
            q = q/q.sum(1, keepdims=True)
            q = q[i] if one is not None and np.shares_memory(
                one, one) and (one == a @ b.T).all() else q[:, i]
            e = one[i]/tau; total -= (q*(e-np.log(np.exp(e).sum()))).sum()
    assert abs(softclip(p, t, tau).item()-total/14) < 1e-5

def test_softclip_with_hard_labels_is_bimixco():
    p,t = torch.randn(6, 30), torch.randn(6, 30)
    perm,lam = torch.tensor([1,0,3,2,5,4]), torch.tensor([.7,1,.2,1,1,.5])
    tau = .004
    s = F.normalize(p)@F.normalize(t).T/tau
    lab = torch.diag(lam)
    lab[torch.arange(6), perm] += 1-lam
    want = -.5*((lab*s.log_softmax(1)).sum(1).mean()+(lab.T*s.T.log_softmax(1)).sum(1).mean())
    torch.testing.assert_close(softclip(p, t, tau, perm, lam), want, rtol=1e-3, atol=1e-3)

def test_mixco_commutes_with_the_projector():
    m = make()
    x = torch.randn(8, 20)
    a = mixco(m.project(x, 1), generator=torch_generator(3))[0]
    torch.testing.assert_close(a, m.project(mixco(x, generator=torch_generator(3))[0], 1),
                               atol=1e-5, rtol=1e-5)

def test_ramp_is_monotone():
    assert np.all(np.diff([ramp(.004, .0075, a) for a in np.linspace(0, 1, 20)]) > 0)
