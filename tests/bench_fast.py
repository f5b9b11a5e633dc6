"""Mode `fast` beside `faithful`, every metric and the time: `python tests/bench_fast.py STUDY [SUBJECT]`.

The decoded clips of a study's test split are drawn by both modes, by the student with two evaluations, and, as the naive
form of few steps, by the faithful networks in as many evaluations as the student takes; all metrics of the strict profile,
the plain questions and flicker, each with the 95 % interval of its paired difference to faithful. Time is the processor's, of
drawing all clips, the median of three. Writes tests/results/fast.json.
"""
import json, platform, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from bench_data import commit
from semvideo.core import Study, conditions_of, write_text
from semvideo.cvr import CVR, motion_gain_of
from semvideo.metrics import evaluate, load_models
from semvideo.questions import plain_questions
from semvideo.results import interval
from semvideo.steering import flicker
from semvideo.stats import time_blocks

OUT = Path(__file__).parent/"results"/"fast.json"
FORMS = {"faithful": {}, "fast": dict(mode="fast"), "fast, two evaluations": dict(mode="fast", steps=2),
         "one step of the generator": dict(steps=1, guidance=1., video_strength=.6, anchor_strength=.4)}


def scores(recon, truth, models, ids):
    "clip_id, metric, value: all metrics, plain questions and flicker."
    table = evaluate(recon, truth, models=models, clip_ids=ids, chance=False)
    table = table.assign(metric=[m if v in ("", None) or v != v else f"{m} {v}" for m, v in zip(table.metric, table.variant)])
    more = [pd.DataFrame(dict(clip_id=ids, metric=metric, value=values)) for metric, values, _ in plain_questions(recon, truth, models)]
    more.append(pd.DataFrame(dict(clip_id=ids, metric="flicker", value=flicker(recon, truth))))
    return pd.concat([table, *more], ignore_index=True)[["clip_id", "metric", "value"]]


def drawn(decoded, ids, settings, times=3):
    "Frames, and the median processor seconds of drawing them."
    cvr, spent = CVR("tiny", device="cpu", **settings), []
    cvr.render(decoded[:8], clip_ids=ids[:8]) # loaded and warm
    for _ in range(times):
        start = time.process_time()
        frames = cvr.render(decoded, clip_ids=ids)
        spent.append(time.process_time()-start)
    return frames, float(np.median(spent))


def main(path, subject=1):
    study = Study(path)
    clips, truth = study.select("test"), np.asarray(study.frames("test"))
    decoded, ids, models = conditions_of(study.path/f"decode/sub-{subject}/test.safetensors"), study.clip_ids("test"), load_models("tiny")
    gain, rows, found = motion_gain_of(study, subject, "test"), {}, {}
    for name, settings in FORMS.items():
        frames, seconds = drawn(decoded, ids, settings | (dict(motion_gain=gain) if gain else {}))
        found[name] = scores(frames, truth, models, ids).pivot(index="clip_id", columns="metric", values="value").reindex(ids)
        rows[name] = dict(processor_s=round(seconds, 2), metrics={})
        for metric in found[name]:
            own, whole = found[name][metric].to_numpy(float), found["faithful"][metric].to_numpy(float)
            gap = [round(float(v), 4) if np.isfinite(v) else None for v in interval(own-whole, time_blocks(clips))]
            rows[name]["metrics"][metric] = dict(value=round(float(np.nanmean(own)), 4), difference=gap)
        print(name, rows[name]["processor_s"], {m: r["value"] for m, r in rows[name]["metrics"].items()}, flush=True)
    for row in rows.values(): row["times_as_fast"] = round(rows["faithful"]["processor_s"]/row["processor_s"], 2)
    write_text(OUT, json.dumps(dict(study="demo", subject=subject, clips=len(ids), date=time.strftime("%Y-%m-%d"), commit=commit(),
                                    machine=f"{platform.machine()}, 2 shared cores, one thread", rows=rows), indent=1)+"\n")


if __name__ == "__main__": main(sys.argv[1], *map(int, sys.argv[2:3]))
