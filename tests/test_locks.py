"040_locks: one writer at a time, and a dead one is not waited for."
import subprocess, sys
import harness
from study_help import study as study, refuses

HOLDER = """
import sys, time
from semvideo.core import Study
st = Study(sys.argv[1]).stage('decode', dict(seed=0), needs=('train/sub-1',), shard=tuple(map(int, sys.argv[2].split('/'))))
print('held', flush=True); sys.stdin.read()
"""

def holder(study, shard="1/1"):
    p = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(study.path), shard], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env=harness.ENV)
    assert p.stdout.readline() == "held\n"
    return p

def test_a_second_writer_is_refused_and_a_dead_one_is_not_waited_for(study):
    p = holder(study); need = ("train/sub-1",)
    try:
        refuses(lambda: study.stage("decode", dict(seed=0), needs=need), "Another process")
        refuses(lambda: study.stage("decode", dict(seed=1), needs=need, force=True),
                "Another process")
        refuses(lambda: study.stage("decode", dict(seed=1), needs=need), "other settings")
    finally:
        p.kill()
        p.wait()
    study.stage("decode", dict(seed=0), needs=need).finish()

def test_shards_hold_a_claim_each(study):
    p = holder(study, "1/2"); need = ("train/sub-1",)
    try:
        study.stage("decode", dict(seed=0), needs=need, shard=(2, 2)).release()
        refuses(lambda: study.stage("decode", dict(seed=0), needs=need, shard=(1, 2)),
                "Another process")
        refuses(lambda: study.stage("decode", dict(seed=0), needs=need), "Another process")
    finally:
        p.kill()
        p.wait()
