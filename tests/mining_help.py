"""What the tests of mining share: backends that say the same of every clip, and what an undisturbed run gives."""
import json
import threading
import time

import numpy as np
import pytest
from semvideo.core import SemvideoError
from semvideo.semminer import Answer, Backend, CaptionStore, mine_study
from semvideo.mllm import ServerBackend
from semminer_help import loopback, small_study


def backend(url, **kw):
    return ServerBackend(
        url, 'tiny', 'r1', **{
            **dict(concurrency=4, backoff_s=.01, retries=3, video='images', timeout_s=20),
            **kw
        })


def csvs(study):
    return {s: (study.path/f'captions/{s}.csv').read_bytes() for s in study.splits}


def records(study):
    return {
        k: json.dumps(r, sort_keys=True)
        for k, r in CaptionStore(study.path/'mine/store').records.items()
    }


class Counting(Backend):
    "Counts what was read and prepared before it was asked for, and on which thread."
    name = 'counting'
    def __init__(self, fail_at=None, error=None):
        self.read, self.opened, self.most, self.threads, self.fail_at, self.error = 0, 0, 0, set(
        ), fail_at, error
    def load(self, i):
        self.read += 1
        self.most = max(self.most, self.read - self.opened)
        return np.full((2,8,8,3), i, np.uint8)
    def prepare(self, frames, system):
        self.threads.add(threading.current_thread().name)
        return int(frames[0,0,0,0])
    def open(self, frames, key, system='', ready=None):
        assert ready == frames[0, 0, 0, 0] and key == f'c{ready}' and threading.current_thread(
        ).name not in self.threads
        time.sleep(.01)
        self.opened += 1
        if self.opened == self.fail_at: raise self.error
        return self
    def ask(self, level, prompt): return Answer('A thing moves.')


def one_line(f, *parts):
    with pytest.raises(SemvideoError) as e: f()
    assert all(p in str(e.value) for p in parts), str(e.value)
    assert len(str(e.value).splitlines()) <= 5


class Yes(Backend):
    "Says the same of every clip."
    name = 'yes'
    def __init__(self, said='A thing moves.', **kw):
        self.said,self.asked = said,[]
        [setattr(self, k, v) for k,v in kw.items()]
    def open(self, *a): return self
    def ask(self, level, prompt):
        self.asked.append(prompt)
        return Answer(self.said)


@pytest.fixture(scope='module')
def calm(tmp_path_factory):
    "What an undisturbed run over the loopback server gives."
    study = small_study(tmp_path_factory.mktemp('calm')/'s')
    with loopback() as (url, stats, _):
        assert mine_study(study, backend(url)).finished
        seen = stats()
    return csvs(study), records(study), seen
