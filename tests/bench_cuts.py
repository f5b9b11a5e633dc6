"""Clips with a cut, the paper's failure case (D.2), beside clips without one: `python tests/bench_cuts.py [--clips 240] [--study STUDY ...]`.

A test segment of the demo has eight of them, too few to say anything. Here the renderer gets the true conditions of as many
clips of either kind as asked, of seeds nothing was trained on; and the decoded clips with a cut of several demo studies are
taken together. Metrics of `steering_scores`; intervals over clips, which are drawn independently, and over studies and
subjects none. Writes tests/results/cuts.json.
"""
import argparse, json, platform, time
from pathlib import Path
import numpy as np, pandas as pd
import tiny_exam as T
from bench_data import commit
from semvideo.core import Study, rng_for, write_text
from semvideo.cvr import CVR, load_render
from semvideo.frames import has_cut
from semvideo.metrics import load_models
from semvideo.simulate import random_clip
from semvideo.steering import steering_scores

OUT = Path(__file__).parent/"results"/"cuts.json"


def summary(scores, ids, independent):
    "{metric: value, low, high, n} of a table of scores."
    out = {}
    for metric, own in scores.groupby("metric", sort=False):
        v = own.set_index("clip_id").value.reindex(ids).to_numpy(float)
        n = int(np.isfinite(v).sum())
        mean, spread = np.nanmean(v), 1.96*np.nanstd(v, ddof=1)/max(n, 1)**.5
        out[metric] = dict(value=round(float(mean), 4), n=n, **(dict(low=round(float(mean-spread), 4), high=round(float(mean+spread), 4)) if independent else {}))
    return out


def of_true_conditions(n, models):
    "Clips with and without a cut, rendered from what is true of them."
    found = {}
    for name, p_cut in (("without a cut", 0.), ("with a cut", 1.)):
        rng = rng_for("bundle", "true-conditions", "cuts", name)
        clips = [random_clip(rng, p_cut) for _ in range(n)]
        decoded, frames = T.conditions("tiny", clips)
        recon, ids = CVR("tiny", device="cpu", motion_gain=1.).render(decoded, batch=24), [f"c{i}" for i in range(n)]
        found[name] = summary(steering_scores(recon, frames, models, ids), ids, True)
    return found


def of_studies(paths, models):
    "Decoded and rendered test clips of several demo studies and all their rendered subjects, taken together."
    tables = []
    for path in paths:
        study = Study(path)
        truth, ids = np.asarray(study.frames("test")), study.clip_ids("test")
        cut = np.array([has_cut(clip) for clip in truth])
        for folder in sorted((study.path/"render").glob("sub-*/test")):
            s = folder.parent.name.removeprefix("sub-")
            own = steering_scores(load_render(study, s), truth, models, ids)
            tables.append(own.assign(cut=own.clip_id.map(dict(zip(ids, cut))), clip_id=f"{Path(path).name} {s} "+own.clip_id))
    scores = pd.concat(tables, ignore_index=True)
    return {name: summary(own, own.clip_id.unique(), False) for name, own in (("without a cut", scores[~scores.cut]), ("with a cut", scores[scores.cut]))}


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clips", type=int, default=240)
    p.add_argument("--study", nargs="*", default=[])
    a = p.parse_args()
    models = load_models("tiny")
    found = dict(date=time.strftime("%Y-%m-%d"), commit=commit(), machine=f"{platform.machine()}, 2 shared cores", clips=a.clips,
                 true_conditions=of_true_conditions(a.clips, models))
    if a.study: found["decoded"] = dict(studies=[Path(s).name for s in a.study], **of_studies(a.study, models))
    write_text(OUT, json.dumps(found, indent=1)+"\n")
    for kind in ("true_conditions", "decoded"):
        for name, row in found.get(kind, {}).items():
            if name != "studies": print(kind, name, {m: (v["value"], v["n"]) for m, v in row.items()})
