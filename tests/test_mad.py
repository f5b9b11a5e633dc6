"MAD: what a reader of the notebook would skip."
import pytest, torch
from semvideo import mad
from semvideo.core import SemvideoError, torch_generator
from semvideo.mad import MAD, MadConfig, TripartiteAttention, frame_contrast, parts

SMALL = dict(text_tokens=5, text_dim=8, hidden=12, mlp=(16, 16, 16), embed=8, features=8,
             channels=(8, 8, 16), groups=4, head_dim=8)
def make(frames=3, **kw):
    torch.manual_seed(0)
    return MAD({
        1: 20,
        2: 30
    }, frames, mad.MAD_MINIATURE, **{
        **SMALL, 'linear_path': False,
        'motion_filter': 0,
        **kw
    })

@pytest.mark.parametrize('latent', [(4, 28, 28), (4, 16, 16), (4, 8, 8), (4, 8, 12)])
def test_latent_sizes(latent):
    m = make(latent=latent)
    x,t = torch.randn(2, 20), torch.randn(2, 5, 8)
    y = m(x, t, 1)
    assert y.shape == (2, 3, *latent)
    m.loss(x, t, torch.randn_like(y), 1)['loss'].backward()
    assert m.projector['2'].weight.grad is None and m.projector['1'].weight.grad.abs().max() > 0

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

def moving_blobs(n=200, frames=3):
    """Blobs that move in one of eight directions, their still picture and a one-hot direction as text."""
    g = torch.Generator().manual_seed(1)
    way = torch.randint(8, (n,), generator=g)
    at = torch.randint(2, 6, (n, 2), generator=g)
    yy,xx = torch.meshgrid(torch.arange(8.), torch.arange(8.), indexing='ij')
    a = way*torch.pi/4
    d = lambda v: v[:, None, None]
    film = torch.stack([
        torch.exp(-((xx - d(at[:, 0]) - s*d(a.cos()))**2 + (yy - d(at[:, 1]) - s*d(a.sin()))**2)/2)
        for s in (torch.arange(frames) - (frames - 1)/2).tolist()
    ], 1)[:, :, None]
    text = torch.eye(8)[way].unflatten(1, (1, 8))
    return film, film.mean(1), text-text.mean(0)

def test_filters_are_ridge_regression_on_products():
    """The closed form over sums of squares agrees with scikit-learn on the products written out, and the
    penalty with a search over left-out segments."""
    from sklearn.linear_model import Ridge
    film,still,text = moving_blobs()
    y = film-still[:, None]+.05*torch.randn(film.shape, generator=torch.Generator().manual_seed(2))
    folds = torch.arange(200)//50
    alphas = 10.**torch.arange(-1, 5)
    f = mad.MotionFilter(5, 3, 3, 1, 8)
    best = f.fit(still, text, y, folds, alphas)
    x = torch.einsum('nk,npi->npki', f.gates(text), f.patches(still)).flatten(2)
    t = y.flatten(3).permute(0, 3, 1, 2).flatten(2)
    def ridge(rows, a):
        return Ridge(a, fit_intercept=False).fit(x[rows].flatten(0, 1).double().numpy(),
                                                 t[rows].flatten(0, 1).double().numpy())
    error = {
        a: sum(((ridge(folds != k, a).predict(x[folds == k].flatten(0, 1).double().numpy()) -
                 t[folds == k].flatten(0, 1).numpy())**2).sum()
               for k in range(4))
        for a in alphas.tolist()
    }
    assert best == min(error, key=error.get)
    torch.testing.assert_close(f.weight.double(), torch.tensor(ridge(slice(None), best).coef_.T),
                               atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(
        f(still, text).flatten(3).permute(0, 3, 1, 2).flatten(2), x @ f.weight, atol=1e-5,
        rtol=1e-5)

def test_filters_follow_the_words_and_not_the_place():
    film,still,text = moving_blobs()
    f = mad.MotionFilter(7, 3, 3, 1, 8)
    f.fit(still, text, film-still[:, None], torch.arange(200)//50)
    move = lambda t: (f(still[:40], t[:40])[:, -1]-f(still[:40], t[:40])[:, 0]).flatten(1)
    true = (film[:40, -1]-film[:40, 0]).flatten(1)
    agree = lambda p: torch.nn.functional.cosine_similarity(p, true).mean().item()
    assert agree(move(text)) > .9 > .3 > abs(agree(move(text.roll(1, 0))))
    # a moved picture moves the change
    torch.testing.assert_close(
        f(still.roll(1, 3), text)[..., 3:-2],
        f(still, text).roll(1, 4)[..., 3:-2], atol=1e-4, rtol=1e-4)

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
