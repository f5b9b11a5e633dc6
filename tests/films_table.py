"""Kind, colour and direction of what is rendered, with decoded states made into scenes and latents into films.

    python tests/films_table.py STUDY SEED SUBJECT [--step 2] [--unrefined]     adds rows to tests/results/films.csv

STUDY is a demo's folder, trained for the subject; its films without a brain are made where they are missing. Every step-th test
clip is rendered. Rows: ours; the decoders' own states and latents (with --unrefined); the nearest training clip; the truth of
another clip; what the decoded words say, level by level. Combinations of kind and colour that no training clip shows are
counted apart.
"""
import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd

from semvideo.core import Decoded, Study
from semvideo.cvr import CVR
from semvideo.decode import decode_study
from semvideo.film import BACKGROUNDS, COLOURS, DIRECTIONS, KINDS, held_out
from semvideo.films import TEXT_LEVELS, simulated_films
from semvideo.metrics import load_models
from semvideo.questions import plain_questions
from semvideo.rivals import nearest_training
from semvideo.targets import target

RESULTS = Path(__file__).parent/"results/films.csv"
WAY = re.compile(r"moves \w+ (?:to the )?(" + "|".join(sorted(DIRECTIONS, key=len, reverse=True)) + ")")


def slots(caption):
    "What a caption of the miniature names first: {kind, colour, background, direction}, None where it does not."
    words, way = re.findall(r"\w+", caption), WAY.search(caption.split(" then ")[0])
    first = lambda known: next((w for w in words if w in known), None)
    place = next((b for b in BACKGROUNDS if b in caption), None)
    return dict(kind=first(KINDS), colour=first(COLOURS), background=place, direction=way and way[1])


def word_rows(study, subject):
    "Share of clips whose decoded words name a slot right, level by level; and how often the levels agree."
    said = pd.read_csv(study.path/f"decode/sub-{subject}/test-captions.csv")
    said, true = said[said["rank"] == 1], study.captions("test")
    named = {}
    for level in TEXT_LEVELS:
        named[level] = pd.DataFrame([slots(c) for c in said[said.level == level].caption])
        truth = pd.DataFrame([slots(c) for c in true[level]])
        for slot in truth:
            asked = truth[slot].notna()
            if asked.mean() > .3:
                yield dict(system=f"words, {level}", question=slot, value=(named[level][slot] == truth[slot])[asked].mean())
    for a, b, slot in (("anchor", "motion", "kind"), ("anchor", "holistic", "colour"), ("motion", "holistic", "direction")):
        same = (named[a][slot].fillna("-") == named[b][slot].fillna("-")).mean()
        yield dict(system=f"words, {a} and {b} agree", question=slot, value=same)


def moves(latents): return latents - latents.mean(1, keepdims=True)


def latent_rows(study, drawn, decoded):
    "Correlation of the change over frames with the truth's, before and after."
    true = moves(np.asarray(target(study, "test", "latents"), np.float32)).ravel()
    for system, one in (("ours", drawn), ("unrefined", decoded)):
        yield dict(system=system, question="change of latents, r", value=np.corrcoef(moves(one.latents).ravel(), true)[0, 1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("study", type=Path)
    p.add_argument("seed", type=int)
    p.add_argument("subject", type=int)
    p.add_argument("--step", type=int, default=2)
    p.add_argument("--unrefined", action="store_true")
    a = p.parse_args()
    study, films = Study(a.study), a.study/"miniature/other_films"
    if not films.is_dir(): simulated_films(seed=a.seed).save(films)
    drawn = decode_study(study, a.subject, seed=a.seed, refine="scenes", motion="films", films=films,
                         force=True)
    decoded = Decoded.load(study.path/f"decode/sub-{a.subject}/test.safetensors")
    some = np.arange(0, len(drawn), a.step)
    truth, ids = np.asarray(study.frames("test")[some]), [study.clip_ids("test")[i] for i in some]
    render = lambda d, gain: CVR("tiny", motion_gain=gain).render(d[some], a.seed, clip_ids=ids)
    videos = {"ours": render(drawn, 1.), "nearest training clip": nearest_training(decoded, study, "test")[some],
              "another clip": np.roll(truth, 7, axis=0)}
    if a.unrefined: videos["unrefined"] = render(decoded, None)
    shown = [slots(study.captions("test").holistic.iloc[i]) for i in some]
    new, models, rows = np.array([held_out(s["kind"], s["colour"]) for s in shown]), load_models("tiny"), []
    for system, video in videos.items():
        for question, right, chance in plain_questions(video, truth, models):
            kinds = dict(value=np.nanmean(right), new=np.nanmean(right[new]), seen=np.nanmean(right[~new]))
            rows.append(dict(system=system, question=question, **kinds, chance=chance, clips=int(np.isfinite(right).sum())))
    rows += [*word_rows(study, a.subject), *latent_rows(study, drawn, decoded)]
    table = pd.DataFrame(rows)
    table.insert(0, "subject", a.subject)
    table.insert(0, "seed", a.seed)
    if RESULTS.is_file():
        old = pd.read_csv(RESULTS)
        table = pd.concat([old[(old.seed != a.seed) | (old.subject != a.subject)], table], ignore_index=True)
    table.round(4).to_csv(RESULTS, index=False)
    print(table[(table.seed == a.seed) & (table.subject == a.subject)].to_string(index=False, float_format="%.3f", na_rep=""))


if __name__ == "__main__": main()
