"What the tests of the metrics share: moving blobs, and judges of the real classes at toy size."
import numpy as np, pytest, torch
from hypothesis import HealthCheck, settings
from semvideo.core import ensure_torchvision
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
