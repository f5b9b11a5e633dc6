"""400_sampler, 405_memory, 407_inflated, 410_pipeline, 420_cvr, 430_render_cost: one pipeline, what steers it, and a GPU that is too small."""
import warnings

import numpy as np
import pytest
import torch

from semvideo.core import Decoded, SemvideoError
from semvideo.cvr import CVR, RenderConfig
from semvideo.inflated import inflated_net
from semvideo.memory import Batches
from semvideo.pipeline import SemVideoPipeline, share_weights
from semvideo.render_cost import render_cost
from semvideo.sampler import STARTS, entry, steps_run


@pytest.fixture(scope="module")
def pipe():
    pipe = SemVideoPipeline.from_bundle("tiny")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def given(pipe):
    "Motion latents and words of two clips."
    generator = torch.Generator().manual_seed(0)
    words = pipe.encode(["a red car on grass moves fast to the right", "a blue bird on water"])
    return torch.randn(2, 8, 4, 8, 8, generator=generator), words


def render(pipe, given, words=None, **settings):
    z, own = given
    words = own if words is None else words
    settings = dict(num_inference_steps=4, guidance_scale=2., output_type="latent", generator=torch.Generator().manual_seed(1)) | settings
    return pipe(z, words, words, **settings).frames


def far(a, b): return float((a-b).abs().mean())


def test_every_source_steers(pipe, given):
    "Another's words, no anchor, reversed latents, another start and no motion prior each change the video; the same again does not."
    z, words = given
    whole = render(pipe, given)
    assert torch.equal(whole, render(pipe, given))
    others = dict(
        words=render(pipe, given, words.flip(0)), reversed=render(pipe, (z.flip(1), words)), anchor=render(pipe, given, anchor_mode="none"),
        peers=render(pipe, given, start="peers"), noise=render(pipe, given, start="noise"), picture=render(pipe, given, motion_prior=False),
        negative=render(pipe, given, negative_prompt="a red car"))
    assert all(far(whole, v) > .01 for v in others.values()), {k: far(whole, v) for k, v in others.items()}


def test_start_from_noise_does_not_see_the_motion_frames(pipe, given):
    "With `noise` and without anchor other latents give the same video; with `peers` a trace of them is left, with `video` much."
    z, words = given
    change = {start: far(render(pipe, given, start=start, anchor_mode="none"), render(pipe, (-z, words), start=start, anchor_mode="none")) for start in STARTS}
    assert change["noise"] == 0 < change["peers"] < change["video"]


def test_strength_is_counted_in_steps(pipe):
    assert [steps_run(3, s) for s in (0, .1, .5, .6, 1)] == [0, 0, 1, 2, 3]
    assert steps_run(25, .7) == int(25*.7) == 17
    assert len(entry(pipe.scheduler, 25, .7)[0]) == 17 and len(entry(pipe.scheduler, 25, .7, "peers")[0]) == 25
    with pytest.raises(SemvideoError, match="Unknown start"): RenderConfig(start="middle").resolved()


def test_shared_weights_stay_shared(pipe):
    "What is moved or changed in one network is so in the other; unequal weights are left alone."
    assert pipe.unet.conv_in.weight is pipe.image_unet.conv_in.weight
    with torch.no_grad():
        a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        b.weight.copy_(a.weight)
        assert share_weights(a, b) == 4 and b.weight is a.weight and b.bias is not a.bias


def test_frames_of_the_picture_network_look_back_only(pipe):
    net, words, t = inflated_net(pipe.image_unet), torch.zeros(1, 77, 64), torch.tensor(400)
    x = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    last = x.clone()
    last[:, :, 3] = 0
    with torch.no_grad(): change = (net(x, t, words)-net(last, t, words)).abs().amax((0, 1, 3, 4))
    assert (change[:3] < 1e-5).all() and change[3] > 1e-3


def test_noise_the_frames_share():
    "All of it shared, the frames of a clip begin alike and the video is calmer; none, it is as before."
    rng = np.random.default_rng(0)
    words, still = rng.normal(size=(2, 77, 64)).astype("f4"), np.repeat(rng.normal(size=(2, 1, 4, 8, 8)), 8, 1).astype("f4")
    decoded = Decoded(words, words, words, still)
    change = {share: np.abs(np.diff(CVR("tiny", device="cpu", noise_shared=share).render(decoded, mode="fast").astype(float), axis=1)).mean()
              for share in (0., 1.)}
    assert change[1.] < .7*change[0.]
    with pytest.raises(SemvideoError, match="noise_shared is out of range"): RenderConfig(noise_shared=2.).resolved()


def test_a_full_gpu_halves_what_is_rendered_at_once(monkeypatch):
    "The frames are those of smaller batches, and a clip that does not fit alone is one clear error."
    rng = np.random.default_rng(0)
    words = rng.normal(size=(3, 77, 64)).astype("f4")
    decoded = Decoded(words, words, words, rng.normal(size=(3, 8, 4, 8, 8)).astype("f4"))
    cvr = CVR("tiny", device="cpu")
    want, true = cvr.render(decoded, mode="fast"), CVR.render_latents
    def small(self, clips, *a):
        if len(clips) > 1: raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return true(self, clips, *a)
    monkeypatch.setattr(CVR, "render_latents", small)
    with pytest.warns(UserWarning, match="the GPU is full"): got = cvr.render(decoded, mode="fast")
    assert np.abs(got.astype(int)-want).max() <= 1 and cvr.batches.size == 1
    def never(self, clips, *a): raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr(CVR, "render_latents", never)
    with pytest.raises(SemvideoError, match="single clip"): cvr.render(decoded, mode="fast")
    with pytest.raises(ValueError), warnings.catch_warnings(): Batches(2)(lambda at: (_ for _ in ()).throw(ValueError("no")), 2)


def test_cost_grows_with_the_work():
    "Twice the clips, twice the hours; without guidance about half the operations; nothing to download for a folder."
    one = render_cost("tiny", 10, device="cpu")
    plain = render_cost("tiny", 10, device="cpu", guidance=1.)
    assert one["download_gb"] == 0 and one["tflop_a_clip"] > 1.6*plain["tflop_a_clip"]
    assert one["hours"] == pytest.approx(10*one["seconds_a_clip"]/3600, rel=.02)


def bundle_with(tmp_path, **fields):
    "A copy of the tiny bundle with other fields of `bundle.json`."
    import shutil
    from semvideo.bundle import bundle_config, bundle_path
    from semvideo.core import write_json
    out = tmp_path/"bundle"
    shutil.copytree(bundle_path("tiny"), out)
    write_json(out/"bundle.json", bundle_config("tiny").replace(**fields).to_dict())
    return out


def test_each_network_has_the_noise_schedule_it_was_trained_with(tmp_path):
    "AnimateDiff's betas are linear, the picture network's are not: the anchor frame follows one, the video the other."
    pipe = SemVideoPipeline.from_bundle(bundle_with(tmp_path, video_betas="linear"))
    assert pipe.scheduler.config.beta_schedule == "linear" and pipe.image_scheduler.config.beta_schedule == "scaled_linear"
    alike, g = SemVideoPipeline.from_bundle("tiny"), torch.Generator().manual_seed(0)
    z, noise, words = torch.randn(1, 8, 4, 8, 8, generator=g), torch.randn(1, 8, 4, 8, 8, generator=g), alike.encode(["a red car"])
    run = dict(num_inference_steps=5, guidance_scale=2., anchor_mode="none", output_type="latent", noise=noise, anchor_noise=noise[:, 0])
    one, other = (p(z, words, words, **run) for p in (alike, pipe))
    assert torch.equal(one.anchor, other.anchor) and (one.frames-other.frames).abs().max() > .1
    from semvideo.bundle import SD15
    assert SD15.video_betas == "linear"


def test_the_student_is_asked_once_a_network(monkeypatch, given):
    "Mode `fast`: one evaluation of each network for a clip, where faithful takes fourteen."
    asked, (z, words) = {}, (v.numpy() for v in given)
    for mode in ("faithful", "fast"):
        cvr, asked[mode] = CVR("tiny", device="cpu", mode=mode), [0, 0]
        for i, net in enumerate((cvr.pipe.image_unet, cvr.pipe.unet)):
            def count(*a, own=net.forward, i=i, mode=mode, **kw):
                asked[mode][i] += len(a[0])
                return own(*a, **kw)
            monkeypatch.setattr(net, "forward", count)
        cvr.render(Decoded(words, words, words, z))
    assert asked["fast"] == [2, 2] and sum(asked["faithful"]) >= 5*sum(asked["fast"]) # clips times evaluations


def test_a_bundle_without_a_student_says_so(tmp_path):
    import shutil
    out = bundle_with(tmp_path)
    for part in ("fast_lora", "fast_adapter"): shutil.rmtree(out/part)
    with pytest.raises(SemvideoError, match="faithful"): CVR(out, mode="fast")
    (out/"fast_lora").mkdir()
    (out/"fast_lora"/"pytorch_lora_weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(SemvideoError, match="LoRA"): CVR(out, mode="fast")
    assert CVR(out, mode="faithful")
