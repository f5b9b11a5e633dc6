"""What only a GPU can tell: is it equal to the CPU, how fast, how much memory, does it go on where it stopped.

    python tests/gpu/campaign.py OUT               on a GPU, at full size with random weights
    python tests/gpu/campaign.py OUT --dry-run     on the CPU at tiny size: does every part run?
    python tests/gpu/campaign.py OUT --only render judges

Each part is a process of its own with a time limit, forked from one that has imported the libraries; OUT/gpu.json is
written after each, so that a run that is cut off still tells. Exit status 1 if a part failed.
"""
import argparse
import datetime
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch

from semvideo.engine import matrix_products
from semvideo.render_cost import count_flops

PARTS = {} # name: (function, seconds)
FULL = dict(device="cuda", voxels=13447, sad={}, mad={}, batch=dict(sad=96, mad=20), frames=16, repeats=20,
            sides=(256, 512), matrix=8192, judged=256, compiler="inductor", patience=1)
TINY = dict(device="cpu", voxels=60, sad=dict(tokens=7, width=16, hidden=24, mlp=(32, 32, 32), layers=1, heads=2, dim_head=8),
            mad=dict(text_tokens=7, text_dim=16, latent=(4, 8, 8), hidden=24, mlp=(32, 32, 32), embed=16, features=8,
                     channels=(8, 8, 8), groups=4, head_dim=8),
            batch=dict(sad=8, mad=4), frames=4, repeats=2, sides=(64, ), matrix=128, judged=4, compiler="eager", patience=6)


partial = lambda result: None # set in each part's process: keeps what is known so far


def part(seconds):
    "Register a part of the campaign with its time limit."
    def add(fn):
        PARTS[fn.__name__] = fn, seconds
        return fn
    return add


# measuring

def wait(size):
    if size["device"] == "cuda": torch.cuda.synchronize()


def timed(fn, size, repeats=None, warm=3):
    "Median milliseconds of fn()."
    repeats = repeats or size["repeats"]
    for _ in range(warm): fn()
    ms = []
    for _ in range(repeats):
        wait(size)
        start = time.perf_counter()
        fn()
        wait(size)
        ms.append(1e3*(time.perf_counter()-start))
    return round(statistics.median(ms), 3)


def peak_gib(size, reset=False):
    "Most memory that was in use, GiB."
    if size["device"] == "cpu": return None
    if reset: torch.cuda.reset_peak_memory_stats()
    return round(torch.cuda.max_memory_allocated()/2**30, 2)


def matrix_peaks(size):
    "Measured TFLOP/s of a large matrix product in each precision."
    n, out = size["matrix"], {}
    for name, dtype in (("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        a, b = (torch.randn(n, n, device=size["device"]).to(dtype) for _ in "ab")
        with matrix_products(name, size["device"]): ms = timed(lambda: a@b, size)
        out[name] = float(f"{2*n**3/ms/1e9:.4g}")
    return out


class Products(torch.utils._python_dispatch.TorchDispatchMode):
    "Remembers the matrix products and convolutions of what runs under it, to run them again alone."
    names = ("mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward", "_scaled_dot_product")
    def __init__(self):
        super().__init__()
        self.calls = []
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if any(func.__name__.split(".")[0].startswith(n) for n in self.names): self.calls.append((func, args, kwargs or {}))
        return out
    def again(self):
        for func, args, kwargs in self.calls: func(*args, **kwargs)


# parts

@part(60)
def machine(size):
    "What is measured on, and its measured ceilings."
    n = 2**28 if size["device"] == "cuda" else 2**20
    a, b = torch.empty(n, device=size["device"]), torch.empty(n, device=size["device"])
    ms = timed(lambda: b.copy_(a), size)
    return dict(matrix_tflops=matrix_peaks(size), copy_tb_per_s=round(8*n/ms/1e9, 2))


@part(100)
def tests(size):
    "The test suite's GPU tests."
    if size["device"] == "cpu": return dict(skipped="no GPU")
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "cuda", "tests/gpu"],
                         capture_output=True, text=True)
    return dict(ok=run.returncode == 0, said=run.stdout.strip().splitlines()[-25:], errors=run.stderr[-2000:])


def decoder_step(which, size, dtype, compiled=False):
    "(module, step function) of a decoder at full size on random data, as the training engine runs it."
    from semvideo.decoders import TrainConfig
    from semvideo.loop import optimiser
    from semvideo.mad import MAD
    from semvideo.sad import SAD
    torch.manual_seed(0)
    with torch.device(size["device"]):
        module = SAD({1: size["voxels"]}, size["sad"]) if which == "sad" else MAD({1: size["voxels"]}, 12 if size["device"] == "cuda" else 3, size["mad"])
        c, rows = module.config, size["batch"][which]
        x = torch.randn(rows, size["voxels"])
        words = torch.randn(rows, *((c.tokens, c.width) if which == "sad" else (c.text_tokens, c.text_dim)))
        y = () if which == "sad" else (torch.randn(rows, *module.item_shape()), )
    opt = optimiser(module.train(), TrainConfig())
    loss = torch.compile(module.loss, backend=size["compiler"]) if compiled else module.loss
    device = torch.device(size["device"]).type
    def step():
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bf16"): value = loss(x, words, *y, 1, progress=.5)["loss"]
        value.backward()
        opt.step()
        opt.zero_grad(set_to_none=True)
    return module, step


def decoder_steps(which, size):
    "Milliseconds, memory, share of the peak and time of the matrix products alone, in each precision."
    peaks, out = matrix_peaks(size), {}
    for name in ("fp32", "tf32", "bf16"):
        with matrix_products(name, size["device"]):
            peak_gib(size, reset=True)
            module, step = decoder_step(which, size, name)
            step()
            flops = count_flops(step)
            ms = timed(step, size)
            with Products() as products: step()
            alone = timed(products.again, size)
            products.calls.clear()
            out[name] = dict(ms=ms, products_ms=alone, times_products=round(ms/alone, 2), tflop=round(flops/1e12, 4),
                             share_of_peak=round(flops/1e9/ms/peaks[name], 3), memory_gib=peak_gib(size))
            out["parameters_m"] = round(sum(p.numel() for p in module.parameters())/1e6, 1)
            partial(out)
            del module, step
    return out


@part(100)
def sad(size):
    "SAD's training step at the paper's size."
    out = decoder_steps("sad", size)
    out["100_epochs_of_8640_rows_s"] = {k: round(v["ms"]*9000/1e3) for k, v in out.items() if isinstance(v, dict)}
    return out


@part(100)
def mad(size):
    "MAD's training step at the paper's size."
    return decoder_steps("mad", size)


def conditions(rng, clips, frames, side, width):
    "Random decoded conditions."
    from semvideo.core import Decoded
    words = [rng.normal(size=(clips, 77, width)).astype(np.float32) for _ in range(3)]
    return Decoded(*words, rng.normal(size=(clips, frames, 4, side//8, side//8)).astype(np.float32))


def renderer(size, side, **settings):
    "A CVR of the full-size generator with random weights, or of the tiny bundle."
    from semvideo.cvr import CVR, full_size_pipeline
    if size["device"] == "cpu": return CVR("tiny", device="cpu", **settings)
    from semvideo.bundle import SD15
    torch.manual_seed(0)
    pipe = full_size_pipeline("cuda", torch.float16)
    from semvideo import cvr
    cvr.bundle_config, full = lambda bundle: SD15.replace(frame_size=side, render_size=side, n_frames=size["frames"]), cvr.CVR
    class Silent(full):
        def set_up(self):
            pipe.encode = lambda prompts: torch.zeros(len(prompts), 77, 768, device="cuda", dtype=torch.float16)
            super().set_up()
    return Silent("sd15", device="cuda", pipe=pipe, **settings)


@part(150)
def render(size):
    "The generator at full size: clips a minute, share of the peak, memory, what waits for the host."
    rng, out = np.random.default_rng(0), {}
    bf16 = matrix_peaks(size)["fp16"]
    for side in size["sides"]:
        peak_gib(size, reset=True)
        cvr = renderer(size, side)
        width, clips = (768, 2) if size["device"] == "cuda" else (64, 2)
        frames = size["frames"] if size["device"] == "cuda" else 8
        decoded = conditions(rng, clips, frames, side, width)
        for mode in ("faithful", "fast"):
            start = time.perf_counter()
            cvr.render(decoded[:1], mode=mode)
            first = time.perf_counter()-start
            seconds = [timed(lambda: cvr.render(decoded[:n], mode=mode), size, repeats=2, warm=0)/1e3/n for n in (1, clips)]
            flops = count_flops(lambda: cvr.render(decoded[:1], mode=mode))
            out[f"{side} px, {mode}"] = dict(
                clips_per_minute=round(60/min(seconds), 2), seconds_a_clip=[round(s, 3) for s in seconds], first_clip_s=round(first, 2),
                tflop_a_clip=round(flops/1e12, 1), share_of_peak=round(flops/1e12/min(seconds)/bf16, 3), memory_gib=peak_gib(size))
            partial(out)
        out[f"{side} px"] = dict(vae=str(cvr.pipe.vae.dtype), steps=cvr.config.resolved().steps if size["device"] == "cuda" else None,
                                 syncs=syncs(lambda: cvr.render(decoded[:1]), size))
        del cvr
    return out


def syncs(fn, size):
    "How often fn() made the host wait for the device, by place."
    if size["device"] == "cpu": return None
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fn()
    torch.cuda.set_sync_debug_mode("default")
    places = [f"{Path(w.filename).name}:{w.lineno}" for w in said if "synchroniz" in str(w.message)]
    return {p: places.count(p) for p in sorted(set(places))}


@part(60)
def judges(size):
    "Throughput of the judges at full size, random weights."
    from transformers import CLIPConfig, CLIPModel, VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig, ViTForImageClassification
    from semvideo.judges import Models
    if size["device"] == "cuda": small = {}
    else: small = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    tiny_clip = {} if size["device"] == "cuda" else dict(vision_config=small, text_config=small)
    nets = dict(image_classifier=ViTForImageClassification(ViTConfig(num_labels=1000, **small)),
                video_classifier=VideoMAEForVideoClassification(VideoMAEConfig(num_labels=400, **small)),
                clip=CLIPModel(CLIPConfig(**tiny_clip)))
    pixels = dict(side=224, mean=(.5, )*3, std=(.5, )*3, crop=False, resample=2)
    models = Models({k: (n, pixels, k) for k, n in nets.items()}, device=size["device"])
    rng, n = np.random.default_rng(0), size["judged"]
    fresh = lambda k, f: rng.integers(0, 255, (k, f, 64, 64, 3), dtype=np.uint8)
    out = {}
    for name, ask, frames in (("image_classifier", models.image_logits, 1), ("clip", models.clip_image, 1), ("video_classifier", models.video_logits, 16)):
        clips = max(1, n//frames)
        ask(fresh(1, frames))
        x = fresh(clips, frames)
        wait(size)
        start = time.perf_counter()
        ask(x)
        out[f"{name}, frames a second"] = round(clips*frames/(time.perf_counter()-start), 1)
    return out


def differ(a, b):
    "Relative distance of b from a."
    a, b = (torch.as_tensor(np.asarray(v)).double() for v in (a, b))
    return float(((a-b).norm()/a.norm()).item())


@part(90)
def equality(size):
    "The GPU against the CPU: SAD, MAD (losses, gradients, outputs) and the tiny renderer; tolerances beside."
    from semvideo.cvr import CVR
    from semvideo.mad import MAD
    from semvideo.sad import SAD
    from semvideo.toy import TOY_MAD, TOY_SAD
    device, out = size["device"], {}
    with matrix_products("fp32", size["device"]):
        for name, make, sizes in (("sad", lambda: SAD({1: 60}, TOY_SAD), (7, 16)), ("mad", lambda: MAD({1: 60}, 3, TOY_MAD, latent=(4, 8, 8)), (7, 16))):
            both = []
            for where in ("cpu", device):
                torch.manual_seed(0)
                module = make().eval()
                x, words = torch.randn(16, 60), torch.randn(16, *sizes)
                y = () if name == "sad" else (torch.randn(16, *module.item_shape()), )
                module.to(where)
                g = torch.Generator().manual_seed(1)
                loss = module.loss(x.to(where), words.to(where), *(v.to(where) for v in y), 1, generator=g)["loss"]
                loss.backward()
                grads = torch.cat([p.grad.flatten().cpu() for p in module.parameters() if p.grad is not None])
                given = (x.to(where), 1) if name == "sad" else (x.to(where), words.to(where), 1)
                with torch.no_grad(): both.append((loss.detach().cpu().reshape(1), grads, module(*given).cpu()))
            for what, a, b in zip(("loss", "gradients", "output"), *both): out[f"{name}, {what}"] = dict(relative=differ(a, b), tolerance=1e-4)
        decoded = conditions(np.random.default_rng(0), 4, 8, 64, 64)
        cpu = {m: CVR("tiny", device="cpu").render(decoded, mode=m) for m in ("faithful", "fast")}
        for dtype, tolerance in ((torch.float32, .5), (torch.float16, 2.), (torch.bfloat16, 8.)):
            if device == "cpu" and dtype != torch.float32: continue
            cvr = CVR("tiny", device=device, dtype=dtype)
            for m in cpu:
                grey = np.abs(cvr.render(decoded, mode=m).astype(float)-cpu[m])
                out[f"render, {m}, {str(dtype)[6:]}"] = dict(mean_grey_levels=round(grey.mean(), 4), max_grey_levels=int(grey.max()), tolerance=tolerance)
    far = [k for k, v in out.items() if not v.get("relative", v.get("mean_grey_levels")) <= v["tolerance"]]
    return dict(out, ok=not far, too_far=far)


@part(90)
def training(size):
    "A small training on the device: killed after some epochs and continued, it ends with the same bytes."
    import shutil
    import tempfile
    from semvideo.decoders import TrainConfig
    from semvideo.fit import fit
    from semvideo.sad import SAD
    from semvideo.toy import TOY_SAD, toy_study
    folder = Path(tempfile.mkdtemp())
    study = toy_study(folder/"study")
    c = TrainConfig(epochs=6, batch=32, lr=1e-3, save_every=2)
    def make():
        torch.manual_seed(0)
        return SAD({1: 60, 2: 80}, TOY_SAD, dropout=.1)
    whole = fit(make(), study, c, out=folder/"whole", device=size["device"])
    cut_run(make(), study, c, folder/"cut", size)
    went_on = fit(make(), study, c, out=folder/"cut", device=size["device"])
    a, b = (r.module.state_dict() for r in (whole, went_on))
    same = all(torch.equal(a[k], b[k]) for k in a)
    shutil.rmtree(folder)
    return dict(ok=same, same_bytes=same, seconds=round(whole.seconds, 2), last_loss=whole.history[-1]["loss"])


def cut_run(module, study, c, folder, size):
    "Train as `fit` does, and stop as a kill would."
    from semvideo.batches import training_data
    from semvideo.fit import validation_rows
    from semvideo.loop import run, world
    w = world(size["device"])
    module.to(w.device)
    data = training_data(study, module, None, device=w.device)
    held = validation_rows(data.segment, c.validate)
    run(module, data, c, np.ones(len(data.segment), bool) if held is None else ~held, held, folder, w=w, stop_after=4)


@part(60)
def full_gpu(size):
    "A GPU that others have nearly filled: the batch is halved, that is said, and the frames are the same."
    from semvideo.cvr import CVR
    if size["device"] == "cpu": return dict(skipped="no GPU")
    decoded = conditions(np.random.default_rng(0), 16, 8, 64, 64)
    cvr = CVR("tiny")
    want = cvr.render(decoded, batch=16)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    cvr.render(decoded, batch=16)
    needs = torch.cuda.max_memory_allocated()-torch.cuda.memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved()+.5*needs)/total)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        got = cvr.render(decoded, batch=16)
    torch.cuda.set_per_process_memory_fraction(1.)
    words = [str(w.message) for w in said if "GPU is full" in str(w.message)]
    grey = np.abs(got.astype(float)-want)
    return dict(ok=bool(words) and grey.mean() < .5, said=words, mean_grey_levels=round(grey.mean(), 4), needs_mib=needs//2**20)


@part(240)
def compiled(size):
    "What torch.compile gives the decoders' steps and the renderer, and what it costs first."
    out = {}
    with matrix_products("bf16", size["device"]):
        for which in ("sad", "mad"):
            start = time.perf_counter()
            module, step = decoder_step(which, size, "bf16", compiled=True)
            step()
            wait(size)
            warm = time.perf_counter()-start
            out[which] = dict(ms=timed(step, size), warm_up_s=round(warm, 1))
            partial(out)
    side, rng = size["sides"][0], np.random.default_rng(0)
    cvr = renderer(size, side)
    for network in (cvr.pipe.image_unet, cvr.pipe.unet): network.compile(backend=size["compiler"])
    decoded = conditions(rng, 1, size["frames"] if size["device"] == "cuda" else 8, side, 768 if size["device"] == "cuda" else 64)
    start = time.perf_counter()
    cvr.render(decoded)
    first = time.perf_counter()-start
    ms = timed(lambda: cvr.render(decoded), size, repeats=2, warm=0)
    return dict(out, render=dict(side=side, first_clip_s=round(first, 1), seconds_a_clip=round(ms/1e3, 3)))


# running

def child(name, size, out):
    "A part in its own process; its result to a file."
    global partial
    start = time.time()
    def partial(result): Path(out).write_text(json.dumps(dict(result, ok=False, error="not done in time"), indent=1))
    try: result = PARTS[name][0](size)
    except BaseException as error: result = dict(ok=False, error=f"{type(error).__name__}: {error}"[:600], where=traceback.format_exc().splitlines()[-12:])
    Path(out).write_text(json.dumps(dict(result, seconds_taken=round(time.time()-start, 1)), indent=1))


def touch(): torch.zeros(1, device="cuda").cpu()


def way_to_start(size):
    """'fork', with all libraries imported once; 'spawn' where an import has already touched CUDA's driver."""
    if size["device"] == "cpu": return "fork"
    probe = multiprocessing.get_context("fork").Process(target=touch)
    probe.start()
    probe.join(30)
    return "spawn" if probe.exitcode else "fork"


def facts(size):
    "Machine, versions, commit, date."
    def git(*words):
        done = subprocess.run(["git", *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None
    gpu = None
    if size["device"] == "cuda":
        asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        gpu = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    import diffusers
    import transformers
    return dict(gpu=gpu, cpu=platform.processor() or platform.machine(), cores=os.cpu_count(), python=platform.python_version(),
                torch=torch.__version__, diffusers=diffusers.__version__, transformers=transformers.__version__,
                commit=os.environ.get("COMMIT") or git("rev-parse", "--short", "HEAD"),
                date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("--dry-run", action="store_true")
    p.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    a = p.parse_args()
    size = TINY if a.dry_run else FULL
    a.out.mkdir(parents=True, exist_ok=True)
    report = dict(machine=facts(size), parts={})
    import semvideo.cvr
    import semvideo.fit
    import semvideo.judges
    import semvideo.pipeline  # noqa: F401 (imported once, before the forks)
    context = multiprocessing.get_context(way_to_start(size))
    for name in a.only:
        file = a.out/f"part_{name}.json"
        process = context.Process(target=child, args=(name, size, file))
        process.start()
        process.join(PARTS[name][1]*size["patience"])
        if process.is_alive():
            process.kill()
            process.join()
            result = json.loads(file.read_text()) if file.is_file() else dict(ok=False, error=f"not done in {PARTS[name][1]} s")
        elif not file.is_file(): result = dict(ok=False, error=f"ended with {process.exitcode}")
        else: result = json.loads(file.read_text())
        file.unlink(missing_ok=True)
        report["parts"][name] = result
        (a.out/"gpu.json").write_text(json.dumps(report, indent=1))
        print(name, json.dumps(result), flush=True)
    failed = [k for k, v in report["parts"].items() if v.get("ok") is False]
    print("failed:", ", ".join(failed) or "none")
    return 1 if failed else 0


if __name__ == "__main__": sys.exit(main())
