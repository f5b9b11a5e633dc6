"SAD: what a reader of the notebook would skip."
import numpy as np, pytest, torch
import torch.nn.functional as F
from semvideo import sad
from semvideo.core import SemvideoError, torch_generator
from semvideo.sad import SAD, SadConfig, Standardiser, denoise_tokens, dual_path, mixco, ramp, ridge_scores, softclip

SMALL = dict(tokens=5, width=8, hidden=12, mlp=(16, 16, 16), layers=1, heads=2, dim_head=4, steps=4,
             samples=2, refine_rows=0)
def make(config=sad.SAD_MINIATURE, **kw):
    torch.manual_seed(0)
    return SAD({1: 20, 'two': 30}, config, **{**SMALL, **kw})

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

def test_constant_entries_do_not_explode():
    s = Standardiser((3,)).fit(torch.tensor([[1., 2, 5], [3., 2, 9], [5, 2, 1]]))
    z = s(torch.tensor([[1., 2.01, 5]]))
    assert torch.isfinite(z).all() and z[0,1].abs() < 1

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

def test_ramp_is_monotone():
    assert np.all(np.diff([ramp(.004, .0075, a) for a in np.linspace(0, 1, 20)]) > 0)

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

def test_a_clip_does_not_depend_on_its_batch():
    m = make().eval()
    x = torch.randn(5, 20)
    gens = lambda k: [torch_generator('r', i) for i in k]
    with torch.no_grad():
        a = m.refine(m(x, 1), generator=gens(range(5)))
        b = m.refine(m(x[[3, 1]], 1), generator=gens([3, 1]))
    torch.testing.assert_close(a[[3, 1]], b, atol=1e-5, rtol=1e-5)

def test_ridge_against_scikit_learn():
    from sklearn.linear_model import Ridge
    x,y,new = torch.randn(60, 90), torch.randn(60, 7), torch.randn(9, 90)
    p = dual_path(x, y, new)[0](37.).numpy()
    np.testing.assert_allclose(p,
                               Ridge(alpha=37.).fit(x.numpy(), y.numpy()).predict(new.numpy()),
                               atol=2e-4)

def test_left_out_predictions_never_saw_their_fold():
    x,z = torch.randn(40, 15), torch.randn(40, 3)
    folds = torch.arange(40)//10
    z2 = z.clone()
    z2[folds == 2] += 100
    a,b = (ridge_scores(x, v, folds, alphas=[10.])[2] for v in (z, z2))
    torch.testing.assert_close(a[folds == 2], b[folds == 2], atol=1e-4, rtol=1e-4)
    assert (a-b)[folds == 1].abs().max() > 1

@pytest.mark.parametrize('bad, says', [(lambda m: m(torch.randn(2, 21), 1), '20 voxels'), (lambda m: m(torch.randn(2, 2, 20), 1), '20 voxels'), (lambda m: m(torch.randn(2, 20), 9), 'subject 9'),
    (lambda m: m(torch.full((2, 20), float('nan')), 1), '40 values'), (lambda m: make(conditioning='both'), 'sequence or channel')])
def test_bad_input_is_one_clear_error(bad, says):
    with pytest.raises(SemvideoError, match='(?s)'+says): bad(make())
