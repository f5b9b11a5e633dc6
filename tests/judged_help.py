"""What the benches of what a video shows share: the judges' answers to the plain questions, paired differences with intervals, and what a result was made with."""
import datetime, os, platform
from pathlib import Path
import numpy as np
from bench_data import commit

QUESTIONS = 'kind', 'colour', 'direction'

def answers(recon, truth, models):
    "{question: (N,) 1 right, 0 wrong, NaN not asked}, by the judges of the bundle."
    from semvideo.evaluate import fit_to
    from semvideo.questions import plain_questions
    return {q: values for q,values,_ in plain_questions(fit_to(recon, truth), truth, models)}

def _interval(values, blocks):
    from semvideo.results import interval
    return [None if not np.isfinite(v) else round(float(v), 4) for v in interval(values, blocks)]

def shares(own, blocks): # of `answers`
    "{question: [share right, low, high]}."
    return {q: _interval(own[q], blocks) for q in QUESTIONS}

def above(own, other, blocks):
    "{question: [paired difference, low, high]}, by t over blocks of time."
    return {q: _interval(own[q] - other[q], blocks) for q in QUESTIONS}

def made_with():
    "Commit, date and machine of a result."
    return dict(commit=commit(), date=str(datetime.date.today()),
                machine=f'{platform.machine()}, Python {platform.python_version()}, one thread')

def processor_seconds():
    t = os.times()
    return round(t.user + t.system + t.children_user + t.children_system)

def rendered(folder, name, make):
    "A video that is made once and kept, (N,F,H,W,3)."
    file = Path(folder)/f'{name}.npy'
    if not file.is_file():
        video = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file.with_name(f'.{file.name}'), video)
        file.with_name(f'.{file.name}').rename(file)
    return np.load(file)
