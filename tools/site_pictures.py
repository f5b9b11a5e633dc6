"""The moving strip of the start page, from a demo study: python tools/site_pictures.py STUDY [--out nbs/images/strip.webp]

Three rows, from above: what was shown, what was reconstructed from fMRI, and the ceiling, which is what the same renderer draws from
the true descriptions and motion. The clips stand at even distances among those whose ceiling was rendered: nothing chose them.
"""
import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from semvideo.core import Study
from semvideo.page_parts import as_truth, even_clips, frames_per_second, load_parts
from semvideo.pictures import enlarge

root = Path(__file__).resolve().parents[1]
ROWS = ("shown", "reconstructed", "ceiling")
GREY = (128, 128, 128, 255) # read on white and on black


def clips(study, subject=1, split="test", n=6):
    "Ids of n clips and their films by row: {row: uint8 (n,F,H,W,3)}."
    parts = load_parts(study, subject, split)
    ids, truth = study.clip_ids(split), study.frames(split)
    shown = [c for c, _ in even_clips([c for c in ids if c in parts.ceiling], n)]
    at = [ids.index(c) for c in shown]
    ceiling = as_truth(np.stack([parts.ceiling[c] for c in shown]), truth[:1])
    return shown, dict(zip(ROWS, (np.asarray(truth[at]), as_truth(parts.recon[at], truth[:1]), ceiling)))


def page(films, k, scale=2, gap=4, left=140):
    "Frame k of all clips with the names of the rows, on nothing: RGBA picture."
    side = films[ROWS[0]].shape[2]*scale
    n, font = len(films[ROWS[0]]), ImageFont.load_default(20)
    out = Image.new("RGBA", (left + n*(side + gap) - gap, len(ROWS)*(side + gap) - gap))
    draw = ImageDraw.Draw(out)
    for r, row in enumerate(ROWS):
        y = r*(side + gap)
        draw.text((left - 8, y + side//2), row, fill=GREY, font=font, anchor="rm")
        for i, film in enumerate(films[row]):
            out.paste(Image.fromarray(enlarge(film[k:k+1], scale)[0]), (left + i*(side + gap), y))
    return out


def write(study, path, **kw):
    "The strip as an endlessly repeating WebP; returns the ids of its clips."
    shown, films = clips(study, **kw)
    first, *others = [page(films, k) for k in range(films[ROWS[0]].shape[1])]
    first.save(path, "WEBP", save_all=True, append_images=others, duration=round(1000/frames_per_second(study, "test")),
               loop=0, quality=90, alpha_quality=100, method=6)
    return shown


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("study", type=Path)
    a.add_argument("--out", type=Path, default=root/"nbs/images/strip.webp")
    a = a.parse_args()
    print(*write(Study(a.study), a.out), f"{a.out.stat().st_size/1000:.0f} kB")
