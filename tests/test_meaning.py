"525_meaning: scores of meaning by their definitions, distances of sets of clips, LPIPS."
import numpy as np, pytest, torch
from hypothesis import given, strategies as st
from semvideo.core import SemvideoError, ensure_torchvision
from semvideo import metrics as M
from metrics_help import SET, rng, movie, noisy, bundle as bundle, models as models

def test_drawn_trials_have_the_sources_spread():
    p = np.full(20_000, .7)
    for t in (20, 100):
        assert M.drawn(p, t).std() == pytest.approx(np.sqrt(.21/t), rel=.03)

def test_chance_of_vifi_is_the_mean_over_other_clips(models):
    t = movie(6)
    r = noisy(t)
    df = M.evaluate(r, t, models=models, metrics=['VIFI-score', 'Identification', 'CLIP-pcc'])
    a,b = (M.unit_rows(models.vifi(x)) for x in (r, t))
    s = a @ b.T
    off = ~np.eye(6, dtype=bool)
    assert df.chance[df.metric == 'VIFI-score'].iloc[0] == pytest.approx(s[off].mean(), abs=1e-6)
    i = df[df.metric == 'Identification'].value.to_numpy()
    assert i[2] == pytest.approx(np.mean([s[2, 2] > s[2, j] for j in range(6) if j != 2]), abs=.21)
    g = df[(df.metric == 'CLIP-pcc') & df.variant.str.startswith('strict gated')].chance.iloc[0]
    smooth = M.clip_pcc(r, t, models=models)
    assert g == pytest.approx(
        np.mean([smooth[i]*np.mean([s[i, j] > .6 for j in range(6) if j != i]) for i in range(6)]),
        abs=1e-6)

def test_clip_pcc_definitions(models):
    t = movie(2)
    f = models.clip_image(t)[0].astype(float)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    s = f @ f.T
    assert M.clip_pcc(t, t, models=models)[0] == pytest.approx(
        np.mean([s[i, i + 1] for i in range(4)]), abs=1e-6)
    assert M.clip_pcc(t, t, 'NEURONS', models)[0] == pytest.approx(s[np.triu_indices(5, 1)].mean(),
                                                                   abs=1e-6)

def test_gif_halves():
    t = movie(2, 3)
    r = noisy(t)
    gr,gt = M.gif_pair(r, t)
    B,F,H,W,_ = t.shape
    assert gr.shape == (B, F, H+4, W+3, 3)
    assert abs(gt[:, :, 2:-2, 2:-1].astype(int) -
               t).mean() < 12 and abs(gr[:, :, 2:-2, 1:-2].astype(int) - r).mean() < 12
    # the padding stays, on different sides
    assert (gt[:, :, :, :2] < 30).all() and (gr[:, :, :, -2:] < 30).all()

def test_lpips_is_lpips_or_an_error():
    t = movie(2, 2)
    assert (M.lpips_distance(t, t, net=lambda a,b: (a-b).square().mean((1, 2, 3))) == 0).all()
    with pytest.raises(SemvideoError, match='LPIPS is not available'):
        M.lpips_distance(t, t, net='no-such-backbone')

@SET
@given(st.integers(3, 60), st.integers(1, 12), st.integers(0, 999))
def test_frechet_is_the_distance_of_two_gaussians(n, d, seed):
    """Against the matrix square root, which needs more clips than dimensions to be accurate, and against
    the axioms."""
    from scipy.linalg import sqrtm
    r = rng(seed)
    a,b = r.normal(size=(n, d)) @ r.normal(size=(d, d)),r.normal(1, 2, size=(n+3, d))
    f = M.frechet(a, b)
    if n > d+1:
        A,B = (np.atleast_2d(np.cov(x.T)) for x in (a, b))
        want = np.square(a.mean(0)-b.mean(0)).sum()+np.trace(A+B-2*np.real(sqrtm(A @ B)))
        assert f == pytest.approx(want, rel=1e-5, abs=1e-6)
    assert f >= 0 and M.frechet(
        a, a) == pytest.approx(0, abs=1e-8*(1 + abs(a).max()**2)) and f == pytest.approx(
            M.frechet(b, a)) and f == pytest.approx(M.frechet(a + 7, b + 7), rel=1e-6)
    q,_ = np.linalg.qr(r.normal(size=(d, d)))
    assert f == pytest.approx(M.frechet(a @ q, b @ q), rel=1e-6)
    assert M.frechet(a+3, a) == pytest.approx(9*d)

def test_distance_of_sets_is_not_called_fvd_without_its_network(models):
    t = movie(9)
    f = M.clips_frechet(noisy(t), t, models)
    assert f['distance'] == pytest.approx(M.frechet(models.video_logits(noisy(t)), models.video_logits(t)))
    assert f['n'] == 9 and f['halves'] > 0 and 'FVD' not in f['name'] and 'classifier' in f['name']
    assert M.clips_frechet(t, t, models)['distance'] < 1e-6
    assert M.clips_frechet(t[::-1], t, models)['distance'] < 1e-6       # blind to which clip is which
    with pytest.raises(SemvideoError, match='Too few clips'): M.clips_frechet(t[:1], t[:1], models)
    def i3d(x): return x.mean((1, 2, 3)).astype(float)
    real = M.clips_frechet(noisy(t), t, i3d=i3d)
    assert real['name'] == 'FVD' and real['network'] == 'i3d'
    assert real['distance'] == pytest.approx(M.frechet(i3d(noisy(t)), i3d(t)))
    with pytest.warns(DeprecationWarning): assert M.fvd is M.clips_frechet

@pytest.fixture(scope='module')
def alexnet(tmp_path_factory):
    "torchvision's AlexNet with random weights in torchvision's own file layout."
    ensure_torchvision()
    pytest.importorskip('lpips')
    import torchvision
    torch.manual_seed(0)
    f = tmp_path_factory.mktemp('lpips')/'alexnet.pth'
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), f)
    return f

def test_lpips_is_the_real_class_with_the_given_backbone(alexnet, bundle):
    import lpips, torchvision
    net = M.load_lpips('alex', alexnet)
    t = movie(3, 2, 64)
    near,far = noisy(t, 5),noisy(t, 60)
    d = M.lpips_distance(near, t, net)
    e = M.lpips_distance(far, t, net)
    assert isinstance(net, lpips.LPIPS) and (M.lpips_distance(t, t, net)
                                             == 0).all() and (0 < d).all() and (d < e).all()
    theirs = torchvision.models.alexnet(weights=None)
    theirs.load_state_dict(torch.load(alexnet, weights_only=True))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        # conv5 of the same weights
        assert torch.allclose(net.net(x)[-1], theirs.eval().features[:12](x), atol=1e-5)
    m = M.load_models(bundle, lpips=net)
    v = M.evaluate(near, t, models=m, metrics=['LPIPS'])
    assert np.allclose(v.value, d) and v.chance.iloc[0] > d.max() and 'LPIPS' not in set(
        M.evaluate(t, t, 'paper', m, epe_size='native').metric)

def test_lpips_without_its_weights_is_refused(alexnet, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(SemvideoError, match='alexnet-owt-7be5be79.pth'):
        M.load_lpips('alex')
    torch.save({'a': torch.zeros(1)}, tmp_path/'x.pth')
    with pytest.raises(SemvideoError, match='Not the weights'):
        M.load_lpips('alex', tmp_path/'x.pth')
    with pytest.raises(SemvideoError, match='Not the weights'):
        M.load_lpips('vgg', alexnet)
