"""225_chain, 227_mining, 230_semminer: kill and resume, shards, working ahead, bad input. None of these loads torch."""
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from semvideo.core import SemvideoError, CAPTION_LEVELS, write_csv, write_json
from semvideo.stages import result_of
from semvideo.semminer import (
    Answer, Backend, CaptionStore, ClipError, DEFAULT, Prompts, ScriptBackend, SemMiner, load_prompts,
    merge_stores, mine_clips, mine_movie, mine_study, read_captions)
from semvideo.mllm import ServerBackend, make_backend
from semminer_help import here, loopback, small_study
from mining_help import Counting, Yes, backend, csvs, one_line, records, calm as calm


def test_through_the_server(calm):
    _,recs,seen = calm
    # four questions a clip, one and the same encoded video
    assert len(recs) == 12 and seen['answers'] == 48 and len(seen['videos']) == 12
    assert all(json.loads(r)[l] for r in recs.values() for l in CAPTION_LEVELS)


MINER = """
import sys; sys.path[:0] = sys.argv[3:5]
from semvideo.semminer import mine_study
from semvideo.mllm import ServerBackend
mine_study(sys.argv[1], ServerBackend(sys.argv[2], 'tiny', 'r1', concurrency=4, backoff_s=.01, retries=3, video='images', timeout_s=20))
"""


def test_kill_9_and_resume(tmp_path, calm):
    study = small_study(tmp_path/'s')
    with loopback('--delay', .15) as (url, stats, _):
        for n in (2, 5):
            p = subprocess.Popen(
                [sys.executable, '-c', MINER, study.path, url,
                 str(here.parent),
                 str(here)], env=dict(os.environ, SEMVIDEO_QUIET='1'))
            end = time.time() + 60
            while time.time() < end and p.poll() is None and len(CaptionStore(study.path/'mine/store')) < n:
                time.sleep(.02)
            assert p.poll() is None, 'the miner ended before it could be killed'
            p.send_signal(signal.SIGKILL)
            p.wait()
            assert not (study.path/'captions').exists()
        before = CaptionStore(study.path/'mine/store')
        kept = set(before.records)
        assert 5 <= len(kept) < 12
        out = mine_study(study, backend(url)); asked = stats()
    assert out.finished and out.had == len(kept) and out.new == 12 - len(kept)
    assert csvs(study) == calm[0] and records(study) == calm[1]
    merge_stores(tmp_path/'m', study.path/'mine/store')
    write_json(tmp_path/'c/store.json', json.loads(
        (study.path/'mine/store/store.json').read_text()))
    with CaptionStore(tmp_path/'c', 'x') as c:
        [c.append(json.loads(r)) for r in reversed(calm[1].values())]
    # the store of the undisturbed run, byte for byte
    assert (tmp_path/
            'm/merged.jsonl').read_bytes() == (merge_stores(tmp_path/'m2', tmp_path/'c').path/
                                               'merged.jsonl').read_bytes()
    assert asked['answers'] <= 48 + 2*4*4 # of each kill, at most the four clips in flight were asked again


def test_a_torn_line_is_mined_again(tmp_path):
    study = small_study(tmp_path/'s'); script = tmp_path/'s.jsonl'
    script.write_text('\n'.join(
        json.dumps(dict(clip_id=c, **{l: f'{l} of {c}'
                                      for l in CAPTION_LEVELS}))
        for c in study.clips.clip_id))
    assert mine_study(study, ScriptBackend(script)).finished
    f = study.path/'mine/store/1-of-1.jsonl'; whole = f.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 30, len(whole)//2, 3):
        f.write_bytes(whole[:cut])
        out = mine_study(study, ScriptBackend(script))
        assert out.finished and f.read_bytes() == whole, cut # one writer in order: the same bytes


def test_shards_in_three_processes_merge(tmp_path, calm):
    study = small_study(tmp_path/'s')
    code = MINER.replace("timeout_s=20))", "timeout_s=20), shard=sys.argv[5])")
    with loopback() as (url, _, _p):
        ps = [
            subprocess.Popen([
                sys.executable, '-c', code, study.path, url,
                str(here.parent),
                str(here), f'{i}/3'
            ], env=dict(os.environ, SEMVIDEO_QUIET='1')) for i in (1, 2, 3)
        ]
        assert [p.wait(120) for p in ps] == [0, 0, 0]
    assert csvs(study) == calm[0] and records(study) == calm[1]
    parts = sorted(p.name for p in (study.path/'mine/store').glob('*.jsonl'))
    assert parts == ['1-of-3.jsonl', '2-of-3.jsonl', '3-of-3.jsonl']
    m = merge_stores(tmp_path/'m', study.path/'mine/store')
    assert len(m) == 12 and m.records == CaptionStore(study.path/'mine/store').records


def ahead(b, path, n=40, **kw):
    with CaptionStore(path) as st:
        return mine_clips([(f'c{i}', lambda i=i: b.load(i)) for i in range(n)], SemMiner(b), st,
                          **kw)[0]


def test_clips_are_ready_before_they_are_wanted_but_few_at_a_time(tmp_path):
    b = Counting()
    # one with the model, three ready
    assert ahead(b, tmp_path/'a').new == 40 and 2 <= b.most <= 4 and b.read == 40
    assert [r['clip_id']
            for r in CaptionStore(tmp_path/'a').records.values()] == [f'c{i}' for i in range(40)]
    b = Counting()
    assert ahead(b, tmp_path/'b', workers=4, ahead=2).new == 40 and b.most <= 6
    b = Counting()
    assert ahead(b, tmp_path/'a').had == 40 and not b.threads # what is there is not prepared


def test_a_run_that_must_stop_stops_soon(tmp_path):
    from semvideo.semminer import BackendGone
    b = Counting(5, BackendGone('The model is gone'))
    out = ahead(b, tmp_path/'gone')
    assert out.stopped.startswith('The model is gone') and out.new == 4 and b.read < 12
    for e in (SemvideoError('Cannot write: No space left on device'), RuntimeError('bug'),
              KeyboardInterrupt()):
        b = Counting(5, e)
        with pytest.raises(type(e)): ahead(b, tmp_path/type(e).__name__)
        assert b.read < 12 and len(CaptionStore(tmp_path/type(e).__name__)) == 4
    b = Counting(5, ClipError('The clip does not fit into GPU memory'))
    out = ahead(b, tmp_path/'one')
    assert out.new == 39 and [c for c,_ in out.failed] == ['c4']


def test_unreadable_clips(tmp_path):
    (tmp_path/'a.mp4').write_bytes(b'')
    (tmp_path/'b.mp4').write_bytes(os.urandom(4000))
    class Yes(Backend):
        name = 'yes'
        def open(self, *a): return self
        def ask(self, level, prompt): return Answer('A thing moves.')
    out = mine_movie([tmp_path/'a.mp4', tmp_path/'b.mp4', tmp_path/'none.mp4'], Yes(),
                     tmp_path/'st')
    assert len(out.failed) == 3 and out.new == 0 and all('\n' not in w for _,w in out.failed)
    class Broken: records = {}
    items = [('short', lambda: np.zeros((4, 8, 8, 4), np.uint8)),
             ('float', lambda: np.zeros((4, 8, 8, 3))),
             ('none', lambda: np.zeros((0, 8, 8, 3), np.uint8)),
             ('io', lambda: (_ for _ in ()).throw(OSError('disk'))),
             ('ok', lambda: np.zeros((4, 8, 8, 3), np.uint8))]
    with CaptionStore(tmp_path/'st2') as st:
        out,_ = mine_clips(items, SemMiner(Yes()), st)
    assert out.new == 1 and sorted(c for c,_ in out.failed) == ['float', 'io', 'none', 'short']


def test_frames_that_do_not_fit_the_clips(tmp_path):
    study = small_study(tmp_path/'s')
    f = study.path/'frames/train.npy'
    f.write_bytes(f.read_bytes()[:200])
    one_line(lambda: mine_study(study, Backend()), 'train.npy')
    np.save(f, np.zeros((3,2,4,4,3), np.uint8))
    one_line(lambda: mine_study(study, Backend()), 'frames', '3', '8')


def test_templates_stores_servers_and_arguments(tmp_path):
    for bad in (dict(anchor='no field'), dict(basic='{max_words} {x}'), dict(shorten='{draft}'),
                dict(motion='{basic')):
        one_line(lambda: Prompts(**bad), next(iter(bad)))
    write_json(tmp_path/'p.json', dict(motion='Say what moves. {basic}'))
    one_line(lambda: load_prompts(tmp_path/'p.json'), 'version')
    write_json(tmp_path/'p.json', dict(version='a-1', motin='x'))
    one_line(lambda: load_prompts(tmp_path/'p.json'), "did you mean 'motion'")
    write_json(tmp_path/'p.json', dict(version='a-1', motion='Say what moves. {basic}'))
    assert load_prompts(tmp_path/'p.json').hash != DEFAULT.hash
    write_json(tmp_path/'st/store.json', dict(format='semvideo-captions', version=7))
    one_line(lambda: CaptionStore(tmp_path/'st'), 'another version', 'version 7', 'version 1')
    one_line(lambda: ServerBackend('http://127.0.0.1:9/v1', 'm', 'r', timeout_s=2),
             'No server answers')
    one_line(lambda: ServerBackend('http://127.0.0.1:9/v1', 'm', None), 'not pinned')
    one_line(lambda: make_backend('server', url='x'), 'cannot be made')
    (tmp_path/'c.txt').write_text('x')
    one_line(lambda: read_captions(tmp_path/'c.txt'), 'Unknown kind')


def test_clips_with_the_same_frames(tmp_path):
    "One caption, a line for each clip: nothing is missing afterwards, on one machine or on two."
    from semvideo.captions import export_captions, load_captions
    def twins(p):
        study = small_study(p)
        f = np.load(study.path/'frames/train.npy')
        f[5] = f[2]
        np.save(study.path/'frames/train.npy', f)
        return study
    study,b = twins(tmp_path/'s'), Yes()
    assert mine_study(study, b).finished and len(load_captions(study)) == 12 and len(
        b.asked) == 11*4 and mine_study(study, b).had == 12
    for i in (1, 2): mine_study(twins(tmp_path/f's{i}'), Yes(), shard=f'{i}/2')
    assert len(merge_stores(tmp_path/'m', tmp_path/'s1', tmp_path/'s2').frame()) == 12
    export_captions(study, tmp_path/'e', licence='cc0-1.0')
    assert sum(
        len(l.splitlines()) for l in ((tmp_path/'e/data/train.jsonl').read_text(),
                                      (tmp_path/'e/data/test.jsonl').read_text())) == 12


def test_force(tmp_path):
    """All of it without a shard; with one, the others of the same settings stay.
    Texts of before are not left to be read."""
    study = small_study(tmp_path/'s')
    a,b = Yes(revision='1'), Yes(revision='2')
    mine_study(study, a)
    one_line(lambda: mine_study(study, b), 'other settings')
    out = mine_study(study, b, shard='1/2', force=True)
    assert out.new == 6 and not out.finished and not (study.path/'captions/train.csv').exists()
    assert mine_study(study, b, shard='2/2', force=True).finished and set(
        CaptionStore(study.path/'mine/store').frame().revision) == {'2'}
    assert mine_study(study, b, shard='2/2', force=True).new == 6 and mine_study(
        study, b, force=True).new == 12 and mine_study(study, b).had == 12


def test_who_mined_which_clip_is_no_result(tmp_path):
    "Captions mined whole, in two parts or in three are one result: nothing made of them becomes stale."
    found = set()
    for n in (1, 2, 3):
        study = small_study(tmp_path/f's{n}')
        for i in range(1, n + 1): mine_study(study, Yes(), shard=f'{i}/{n}')
        found.add(result_of(study.stages()['mine']))
        # and yet no file of the store may be lost
        assert sum(f.startswith('mine/store/') for f in study.stages()['mine']['files']) == n + 1
    assert len(found) == 1
    write_csv(study.path/'captions/test.csv', study.captions('test').assign(anchor='x'))
    study.adopt('mine')
    assert result_of(study.stages()['mine']) not in found


def test_one_undo_brings_back_what_a_forced_shard_replaced(tmp_path):
    study = small_study(tmp_path/'s')
    mine_study(study, Yes())
    files = [p for d in ('captions', 'mine') for p in sorted((study.path/d).rglob('*')) if p.is_file()]
    before = {p: p.read_bytes() for p in files}
    mine_study(study, Yes(), shard='2/2', force=True)
    assert {p: p.read_bytes() for p in files if p.exists()} != before
    study.undo()
    assert {p: p.read_bytes() for p in files} == before and study.check()['mine']['state'] == 'done'


def test_a_forced_shard_leaves_the_store_to_the_others(tmp_path):
    "Another shard may be writing to it at this moment: its file stays, and what it writes is kept."
    study = small_study(tmp_path/'s')
    a,b = Yes(revision='1'), Yes(revision='1')
    mine_study(study, a)
    mine_study(study, a, shard='1/2', force=True)
    before = CaptionStore(study.path/'mine/store')
    with open(study.path/'mine/store/1-of-2.jsonl', 'rb') as writing:
        inode = os.fstat(writing.fileno()).st_ino
        fcntl.flock(writing, fcntl.LOCK_EX)
        assert mine_study(study, b, shard='2/2', force=True).new == 6
        assert os.stat(study.path/'mine/store/1-of-2.jsonl').st_ino == inode
    assert set(CaptionStore(study.path/'mine/store').rows) == set(before.rows)
    study.undo() # the store of before
    assert set(CaptionStore(study.path/'mine/store').rows) == set(before.rows)


def test_movies_that_give_no_clips(tmp_path):
    from semvideo.video import write_video
    for d in 'xy':
        write_video(tmp_path/d/'m.mp4',
                    np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8), 8)
    one_line(lambda: mine_movie([tmp_path/'x/m.mp4', tmp_path/'y/m.mp4'], Yes(), tmp_path/'st'),
             'same name')
    out = mine_movie(tmp_path/'x/m.mp4', Yes(), tmp_path/'st')
    assert 'shorter than one clip' in out.failed[0][1] and not out.new
    for k in (0, -1):
        assert 'length' in mine_movie(tmp_path/'x/m.mp4', Yes(), tmp_path/'st',
                                      clip_s=k).failed[0][1]
    assert mine_movie(tmp_path/'x/m.mp4', Yes(), tmp_path/'st', clip_s=.5).new == 3


def test_import_is_light():
    code = 'import sys, semvideo.semminer, semvideo.mllm, semvideo.captions; print([m for m in ("torch", "transformers", "pandas", "cv2", "av", "PIL", "nltk", "sacrebleu", "ipywidgets") if m in sys.modules])'
    assert subprocess.check_output([sys.executable, '-c', code], text=True,
                                   cwd=here.parent).strip() == '[]'


def test_a_forced_shard_after_other_settings_takes_nothing_from_older_trash(tmp_path):
    "What an earlier forced shard left in the trash belongs to other settings and stays there."
    study = small_study(tmp_path/'s', n=4, n_test=2)
    rows = '\n'.join(
        json.dumps(
            dict(clip_id=c, basic=f'a {c}', anchor=f'a {c}', motion=f'{c} moves',
                 holistic=f'{c} moves on')) for c in study.clips.clip_id)
    (tmp_path/'x.jsonl').write_text(rows)
    mine = lambda limit, **kw: mine_study(study, ScriptBackend(tmp_path/'x.jsonl'), max_basic_words=
                                          limit, **kw)
    mine(20)
    mine(20, shard='1/2', force=True)
    assert len(CaptionStore(study.path/'mine/store')) == 4
    mine(10, shard='1/2', force=True)
    mine(10, shard='2/2')
    clean = small_study(tmp_path/'t', n=4, n_test=2)
    mine_study(clean, ScriptBackend(tmp_path/'x.jsonl'), max_basic_words=10)
    assert set(CaptionStore(study.path/'mine/store').rows) == set(
        CaptionStore(clean.path/'mine/store').rows)
