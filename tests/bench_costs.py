"""What the stages that no GPU was asked about cost on a processor: writes tests/results/bench_costs.json.

    python tests/bench_costs.py [--out FILE]

The networks are the real classes at their real size and at the shapes of CC2017, with random weights, on a few rows; `seconds` is processor time of one thread for one clip (one video of a clip for `evaluate`, one pass of
a row for `explain`), `tflop` what torch counts of it. `semvideo.stage_cost` multiplies both by the number of clips.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from semvideo import metrics
from semvideo.core import ensure_torchvision, write_json
from semvideo.stage_cost import StudySize, voxels_of

ensure_torchvision()
SIZE = StudySize()


def cost(run, rows, n=2):
    "Processor seconds and counted operations for one of the rows: the cheaper of n runs."
    seconds, counter = [], FlopCounterMode(display=False)
    with torch.no_grad():
        with counter: run()
        for _ in range(n):
            t = time.process_time()
            run()
            seconds.append(time.process_time() - t)
    return dict(seconds=round(min(seconds)/rows, 4), tflop=round(counter.get_total_flops()/rows/1e12, 5))


def times(found, k): return {key: round(v*k, 5) for key, v in found.items()}


def total(*found): return {key: round(sum(f[key] for f in found), 4) for key in found[0]}


def targets():
    "A clip's three captions through the text encoder, and its frames through the picture code, of sd15."
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel
    text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)).eval()
    code = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
                         down_block_types=('DownEncoderBlock2D',)*4, up_block_types=('UpDecoderBlock2D',)*4).eval()
    words, frames = torch.randint(0, 49000, (3, 77)), torch.rand(1, 3, SIZE.side, SIZE.side)
    return dict(text_encoder=cost(lambda: text(words), 1), picture_code=times(cost(lambda: code.encode(frames), 1), SIZE.frames))


def decoders():
    "A row through one SAD, with its refinement apart, and through the MAD, at the paper's size for the largest subject."
    from semvideo.decoders import RECIPES
    from semvideo.mad import MAD
    from semvideo.sad import SAD
    voxels = voxels_of(SIZE)
    subject = max(voxels, key=voxels.get)
    one = {subject: voxels[subject]}
    fmri = torch.randn(4, voxels[subject])
    sad = SAD(one, **RECIPES['paper'].sad).eval()
    tokens = sad(fmri, subject).detach()
    out = dict(sad=cost(lambda: sad(fmri, subject), 4), refine=cost(lambda: sad.refine(tokens), 4))
    del sad
    mad = MAD(one, SIZE.frames, **RECIPES['paper'].mad).eval()
    return out | dict(mad=cost(lambda: mad(fmri[:2], tokens[:2], subject), 2))


def judges():
    "A video of a clip through the judges of the strict profile, and through the metrics that are no network."
    import transformers as t
    picture = t.ViTForImageClassification(t.ViTConfig(num_labels=1000)).eval()
    video = t.VideoMAEForVideoClassification(t.VideoMAEConfig(num_labels=400)).eval()
    clip = t.CLIPVisionModel(t.CLIPVisionConfig()).eval()
    frame, film = torch.rand(1, 3, 224, 224), torch.rand(1, 16, 3, 224, 224)
    draw = np.random.default_rng(0)
    recon, truth = draw.integers(0, 256, (2, 2, SIZE.frames, 256, 256, 3), dtype=np.uint8)
    pixels = lambda: [f(recon, truth) for f in (metrics.ssim, metrics.psnr, metrics.hue_pcc, metrics.flow_epe)]
    networks = total(times(cost(lambda: picture(frame), 1), SIZE.frames), cost(lambda: video(film), 1),
                     times(cost(lambda: clip(frame), 1), SIZE.frames))
    return dict(judges=networks, pixels=cost(pixels, 2))


def main():
    a = argparse.ArgumentParser()
    a.add_argument('--out', type=Path, default=ROOT/'tests/results/bench_costs.json')
    out, found = a.parse_args().out, {}
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in (targets, decoders, judges):
        found |= part()
        write_json(out, dict(parts=found, threads=1, torch=torch.__version__))
    for name, c in found.items(): print(f'{name:13s} {c["seconds"]:8.3f} s {c["tflop"]:8.4f} TFLOP')


if __name__ == '__main__': main()
