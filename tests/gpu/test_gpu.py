"""What must hold on a GPU: the same answers as on the CPU, clear words when it is full or overflows, and training that goes on where it stopped."""
import warnings

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.cuda
if not torch.cuda.is_available(): pytest.skip("needs an NVIDIA GPU", allow_module_level=True)

from semvideo.bundle import PictureCode, TextEncoder # noqa: E402 (nothing is loaded where there is no GPU)
from semvideo.core import Decoded, SemvideoError # noqa: E402
from semvideo.cvr import CVR # noqa: E402
from semvideo.decoders import TrainConfig # noqa: E402
from semvideo.fit import fit # noqa: E402
from semvideo.mad import MAD # noqa: E402
from semvideo.pipeline import SemVideoPipeline # noqa: E402
from semvideo.sad import SAD # noqa: E402
from semvideo.toy import TOY_MAD, TOY_SAD, toy_study # noqa: E402


@pytest.fixture(scope="module")
def decoded():
    rng = np.random.default_rng(0)
    words = TextEncoder("tiny")([f"a {c} {k} on grass" for c in ("red", "blue") for k in ("car", "bird")]).numpy()
    return Decoded(words, words, words, rng.normal(size=(4, 8, 4, 8, 8)).astype(np.float32))


@pytest.fixture(scope="module")
def study(tmp_path_factory): return toy_study(tmp_path_factory.mktemp("gpu")/"study")


def grey(a, b): return np.abs(a.astype(float)-b).mean()


def test_render_is_the_cpus(decoded):
    "fp32 within rounding, fp16 within two grey levels on average; another clip's text is far further."
    want = CVR("tiny", device="cpu").render(decoded)
    assert grey(CVR("tiny", dtype=torch.float32).render(decoded), want) < .5
    half = CVR("tiny").render(decoded)
    assert grey(half, want) < 2
    other = Decoded(decoded.anchor[::-1].copy(), decoded.motion, decoded.holistic[::-1].copy(), decoded.latents)
    assert grey(CVR("tiny").render(other), want) > 2*grey(half, want)


def test_picture_code(decoded):
    code, there = PictureCode("tiny"), PictureCode("tiny", "cuda")
    z = torch.from_numpy(decoded.latents[0])
    assert grey(code.decode(z), there.decode(z)) < .5
    frames = code.decode(z)
    assert torch.allclose(code.encode(frames), there.encode(frames), atol=2e-2)


def test_overflow_of_the_vae_is_noticed(decoded):
    code = PictureCode("tiny", "cuda")
    code.vae.half()
    code.vae.decoder.conv_in.weight.data *= 3e4
    with pytest.warns(UserWarning, match="overflows in half precision"): frames = code.decode(torch.from_numpy(decoded.latents[0]))
    assert code.vae.dtype == torch.float32 and frames.std() > 1


def test_offload_gives_the_same_frames(decoded):
    run = dict(num_inference_steps=4, guidance_scale=2., output_type="latent")
    def frames(pipe):
        pipe.set_progress_bar_config(disable=True)
        return pipe(decoded.latents, decoded.anchor, decoded.holistic, generator=torch.Generator().manual_seed(0), **run).frames.cpu()
    resident, offloaded = (SemVideoPipeline.from_bundle("tiny") for _ in "ab")
    offloaded.enable_model_cpu_offload()
    want = frames(resident.to("cuda"))
    assert torch.allclose(want, frames(offloaded), atol=1e-3)
    assert next(offloaded.unet.parameters()).device.type == "cpu"


def test_a_full_gpu_halves_the_batch(decoded, monkeypatch):
    cvr = CVR("tiny", dtype=torch.float32)
    want, true = cvr.render(decoded, batch=4), cvr.pipe.unet.forward
    def small(x, *a, **kw):
        if len(x) > 4: raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return true(x, *a, **kw)
    monkeypatch.setattr(cvr.pipe.unet, "forward", small) # two clips, guided, are four
    with pytest.warns(UserWarning, match="the GPU is full: going on with 2 clips"): got = cvr.render(decoded, batch=4)
    assert grey(got, want) < .5
    def none(*a, **kw): raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr(cvr.pipe.unet, "forward", none)
    with pytest.raises(SemvideoError, match="Out of GPU memory with a single clip"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cvr.render(decoded)


def make(which):
    torch.manual_seed(0)
    return SAD({1: 60, 2: 80}, TOY_SAD, dropout=.1) if which == "sad" else MAD({1: 60, 2: 80}, 3, TOY_MAD, latent=(4, 8, 8))


@pytest.mark.parametrize("which", ["sad", "mad"])
def test_training_learns_as_on_the_cpu(study, which):
    "Other random numbers, the same curve: the last loss within a tenth of what was learnt."
    c = TrainConfig(epochs=6, batch=32, lr=1e-3)
    cpu, gpu = (fit(make(which), study, c, device=d).history for d in ("cpu", "cuda"))
    learnt = cpu[0]["loss"]-cpu[-1]["loss"]
    assert learnt > 0 and abs(gpu[-1]["loss"]-cpu[-1]["loss"]) < max(.1*learnt, .02*cpu[-1]["loss"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_again_gives_the_same_bytes(study, precision, tmp_path):
    c = TrainConfig(epochs=4, batch=32, lr=1e-3, save_every=2, precision=precision)
    one, two = (fit(make("sad"), study, c, out=tmp_path/n, device="cuda").module.state_dict() for n in "ab")
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert all(v.dtype == torch.float32 for v in one.values() if v.is_floating_point())
