"""Mining: kill and resume, shards, servers on a bad day, bad input. None of these loads torch."""
import json, os, signal, subprocess, sys, threading, time
import numpy as np, pytest
from semvideo.core import SemvideoError, CAPTION_LEVELS, write_json
from semvideo.semminer import (Answer, Backend, CaptionStore, ClipError, DEFAULT, Prompts,
                               ScriptBackend, SemMiner, as_data, cut_words, load_prompts,
                               merge_stores, FileBackend, mine_clips, mine_movie, mine_study,
                               n_words, read_captions, strip_preamble)
from semvideo.mllm import ServerBackend, make_backend, video_parts
from semminer_help import here, loopback, small_study

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

@pytest.fixture(scope='module')
def calm(tmp_path_factory):
    "What an undisturbed run over the loopback server gives."
    study = small_study(tmp_path_factory.mktemp('calm')/'s')
    with loopback() as (url, stats, _):
        assert mine_study(study, backend(url)).finished
        seen = stats()
    return csvs(study), records(study), seen

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

def test_a_bad_day(tmp_path, calm):
    """429, 500, 503, HTML, half an answer, closed lines: asked again, and nothing of it shows in the
    captions."""
    study = small_study(tmp_path/'s')
    with loopback('--fail', '429,500,garbage,truncate,close,503,wrong,429') as (url, stats, _):
        b = backend(url, retries=9)
        assert mine_study(study, b).finished
    # 7 where the closed line was one kept open: that is asked again without counting
    assert b.stats['retries'] in (7, 8) and csvs(study) == calm[0] and records(study) == calm[1]

def test_a_server_that_hangs_is_left(tmp_path):
    with loopback('--fail', 'hang') as (url, _, _p):
        b = backend(url, timeout_s=1.); t = time.time()
        assert b.open(np.zeros((2, 8, 8, 3), np.uint8), 'c').ask(
            'basic', 'hello').text and time.time() - t < 10 and b.stats['retries'] == 1

def test_a_server_that_dies_and_comes_back(tmp_path, calm):
    study = small_study(tmp_path/'s')
    with loopback('--die-after', 20) as (url, _, _p):
        out = mine_study(study, backend(url, retries=2))
    assert not out.finished and 'The server is gone' in out.stopped and 'run the same command' in out.stopped and '\n' not in out.stopped
    kept = len(CaptionStore(study.path/'mine/store'))
    assert 0 < kept < 12 and not (study.path/'captions/train.csv').exists()
    import pandas as pd
    assert len(pd.read_csv(study.path/'mine/missing.csv')) == 12 - kept
    with loopback() as (url, _, _p): out = mine_study(study, backend(url))
    assert out.finished and out.had == kept and csvs(study) == calm[0] and records(study) == calm[1]

def test_a_clip_the_server_refuses(tmp_path):
    study = small_study(tmp_path/'s')
    with loopback('--fail', '422') as (url, _, _p):
        out = mine_study(study, backend(url, concurrency=1))
        assert [c for c, _ in out.failed
                ] == ['c00'] and 'HTTP 422' in out.failed[0][1] and not out.finished
        # the complete split is written
        assert (study.path/
                'captions/test.csv').exists() and not (study.path/'captions/train.csv').exists()
        assert mine_study(study, backend(url)).finished
    with loopback('--fail', '401') as (url, _, _p):
        assert 'refuses to answer' in mine_study(small_study(tmp_path/'s2'), backend(url)).stopped

def test_at_least_n_requests_in_flight(tmp_path):
    for n in (1, 8):
        with loopback('--delay', .1) as (url, stats, _):
            b = backend(url, concurrency=n)
            study = small_study(tmp_path/f's{n}', n=16, f=1, size=8)
            mine_study(study, b)
            assert stats()['most'] == n == b.stats['most_in_flight']

def test_answers_that_stop_short_are_noted(tmp_path):
    with loopback('--fail', 'length,empty') as (url, _, _p):
        texts,notes = SemMiner(backend(url), max_asks=1).record(np.zeros((2,8,8,3), np.uint8), 'c')
    assert texts['basic'] and n_words(texts['basic']) <= 20 and notes['basic']['finish'] == 'length'
    assert texts['anchor'] # an empty answer is no caption: it was asked for again
    from semvideo.captions import gates_of
    assert ('basic',
            'unfinished') in {g[:2]
                              for g in gates_of(dict(clip_id='c', **texts, notes=notes))}

@pytest.mark.parametrize('message,says', [(dict(content=None, reasoning='a cat sits'), 'turn thinking off'), (dict(content=None), 'null'), (dict(content='  '), 'empty'), (dict(content='word '*9000), '45,000 characters')])
def test_no_answer_is_no_caption(message, says):
    "What a thinking model, or a broken one, answers is an error of that clip and is never stored."
    from semvideo.server import _answer
    with pytest.raises(ValueError, match=says):
        _answer(json.dumps(dict(choices=[dict(message=message, finish_reason='stop')])))

def test_a_key_is_sent_and_kept_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv('SOME_KEY', 's3cret')
    with loopback() as (url, _, _p):
        b = backend(url, api_key_env='SOME_KEY')
        study = small_study(tmp_path/'s', n=2, n_test=1)
        mine_study(study, b)
    assert b.key == 's3cret' and not any(
        b's3cret' in p.read_bytes() for p in study.path.rglob('*') if p.is_file())

@pytest.mark.parametrize('how', ['mp4', 'jpeg', 'images'])
def test_ways_to_send_a_video(how):
    parts = video_parts(np.full((4,15,17,3), 90, np.uint8), how, 2.)
    s = json.dumps(parts)
    assert len(parts) == (4 if how == 'images' else 1) and 'base64,' in s and parts == video_parts(
        np.full((4, 15, 17, 3), 90, np.uint8), how, 2.)

# ---- working ahead ----
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

# ---- bad input: one clear line each ----
def one_line(f, *parts):
    with pytest.raises(SemvideoError) as e: f()
    assert all(p in str(e.value) for p in parts), str(e.value)
    assert len(str(e.value).splitlines()) <= 5

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

@pytest.mark.parametrize('rein', ['Mr. Smith walks through the old gate of a small town and greets his neighbour, who is waiting there with a large brown dog.',
    'A U.S. soldier in a green uniform runs across a wide and muddy field while smoke rises slowly behind the trees at the far edge.', 'Sure! In this video a man in a red hat walks slowly along a wide beach while two small dogs run ahead of him and bark loudly.',
    'In this video, a man in a red hat walks slowly along a wide beach while two small dogs run ahead of him and bark at gulls.', 'Here is the sentence: a man in a red hat walks slowly along a wide beach while two small dogs run ahead of him and bark loudly at gulls.',
    'At approx. 3.5 metres a diver turns slowly around a large rock while many small silver fish swim past him and on to the left.', 'The video shows St. Paul in a white robe who walks along a dusty road while many people in old clothes stand and watch him pass.'])
def test_what_is_left_of_a_long_rein_says_something(rein):
    text,notes = SemMiner(Yes(rein)).record(None, 'c')
    assert 10 < n_words(
        text['basic']) <= 20 and notes['basic']['cut'] and not text['basic'].lower().startswith(
            ('sure', 'here is')), text['basic']
    t = time.time()
    cut_words('word '*200_000, 20)
    assert time.time() - t < 2 # linear in the length

def test_what_a_chat_model_says_first_is_taken_off_and_noted():
    for said in ('Sure! Here is a sentence: A man runs.', '**Sentence:** A man runs.',
                 "Certainly! Here's the description of the first frame:\n\nA man runs.",
                 'Caption: "A man runs."'):
        text,notes = SemMiner(Yes(said)).record(None, 'c')
        assert set(text.values()) == {'A man runs.'} and all(notes[l]['preamble']
                                                             for l in CAPTION_LEVELS)
    for said in ('A man runs.', 'This is a quiet street.', 'A sign reads "Description: none".',
                 'Here is where a man runs.', 'Great waves break on a shore.'):
        assert strip_preamble(said) == (said, '')

def test_answers_that_cannot_be_written_are_made_so(tmp_path):
    study = small_study(tmp_path/'s', n=2, n_test=1)
    assert mine_study(study, Yes('A \ud83d man\x00 runs.')).finished and study.captions(
        'test').motion[0].endswith('man\x00 runs.')

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

def test_stores_that_disagree_or_are_none(tmp_path):
    for n,t in (('a', 'x'), ('b', 'y')):
        with CaptionStore(tmp_path/n, n) as s:
            s.append(dict(key='k', clip_id='c', basic=t))
    one_line(lambda: merge_stores(tmp_path/'m', tmp_path/'a', tmp_path/'b'), 'disagree', 'clip c')
    one_line(lambda: merge_stores(tmp_path/'m', tmp_path/'nope'), 'Not a caption store', 'nothing')
    (tmp_path/'a/b.jsonl').write_bytes((tmp_path/'b/b.jsonl').read_bytes())
    one_line(lambda: merge_stores(tmp_path/'m', tmp_path/'a'), 'disagree')
    with CaptionStore(tmp_path/'r', '1') as s:
        s.append(dict(key='k', clip_id='c', basic='x', notes={}))
    with CaptionStore(tmp_path/'q', '1') as s:
        s.append(dict(key='k', clip_id='c', basic='x', notes=dict(basic=dict(retries=2))))
    # asked twice is no disagreement
    assert merge_stores(tmp_path/'1', tmp_path/'r', tmp_path/'q').rows == merge_stores(
        tmp_path/'2', tmp_path/'q', tmp_path/'r').rows

@pytest.mark.parametrize('line', [b'[1, 2]', b'5', b'null', b'{"sum": 1}', b'{"key": ["a"], "sum": "x"}', b'\xff\xfe', b'['*100_000, b'{"key": "a"}'])
def test_damaged_lines_of_a_store(tmp_path, line):
    study = small_study(tmp_path/'s', n=3, n_test=1)
    mine_study(study, Yes())
    f = study.path/'mine/store/1-of-1.jsonl'
    f.write_bytes(line + b'\n' + f.read_bytes())
    out = mine_study(study, Yes())
    assert out.finished and out.had == 3 and out.torn == 1 and '1 damaged' in repr(out)

def test_stores_that_cannot_be_read_or_written(tmp_path):
    (tmp_path/'file').write_text('')
    one_line(lambda: CaptionStore(tmp_path/'file'), 'a file', 'a folder')
    for bad in ([1], 'x'):
        write_json(tmp_path/'st/store.json', bad)
        one_line(lambda: CaptionStore(tmp_path/'st'), 'another version')
    (tmp_path/'d/x.jsonl').mkdir(parents=True)
    assert len(CaptionStore(tmp_path/'d')) == 0
    s = CaptionStore(tmp_path/'file2')
    (tmp_path/'file2').write_text('')
    one_line(lambda: s.append(dict(key='a')), 'Cannot write into')

CAPTION = dict(clip_id='a', **{l: 'x' for l in CAPTION_LEVELS})
@pytest.mark.parametrize('name,content,says', [('c.csv', '', 'cannot be read'), ('c.csv', b'clip_id,basic\n\xe9,x', 'cannot be read'), ('c.parquet', b'', 'cannot be read'), ('c.parquet', b'PAR1junk', 'cannot be read'), ('c.h5', b'junk', 'cannot be read'),
    ('c.json', '"x"', 'not a list'), ('c.json', '{"a": 1}', 'not a list'), ('c.json', '[1, 2]', 'not a list'), ('c.jsonl', '', 'no captions'), ('c.jsonl', '[1, 2]', 'line 1'), ('c.jsonl', b'\xff', 'UTF-8'),
    ('c.jsonl', json.dumps(dict(CAPTION, motion=None)), 'motion is None'), ('c.jsonl', json.dumps(dict(CAPTION, anchor=5)), 'anchor is 5'), ('c.jsonl', json.dumps(dict(CAPTION, clip_id=None)), 'without a clip'),
    ('c.jsonl', json.dumps(CAPTION) + '\n' + json.dumps(CAPTION), 'Two captions'), ('c.csv', 'idx,caption\n0,a\n0,b', 'gaps or repeats'), ('c.csv', 'idx,caption\n0,a\n3,b', 'gaps or repeats'), ('c.csv', 'idx,caption\n0,a\nx,b', 'gaps or repeats')])
def test_caption_files_that_are_none(tmp_path, name, content, says):
    f = tmp_path/name
    f.write_bytes(content if isinstance(content, bytes) else content.encode())
    one_line(lambda: read_captions(f, ['x', 'y'], fill='repeat'), says, name)
    one_line(lambda: read_captions(tmp_path), 'a folder')

def test_numbered_captions_are_numbers(tmp_path):
    "Written as text, ten comes after nine and not after one."
    for n, rows in (('c.csv', 'idx,caption\n' + '\n'.join(f'{i},c{i}' for i in range(12))),
                    ('c.json', json.dumps([dict(idx=str(i), caption=f'c{i}') for i in range(12)]))):
        (tmp_path/n).write_text(rows)
        assert read_captions(tmp_path/n, [f'x{i}' for i in range(12)],
                             fill='repeat').anchor.tolist() == [f'c{i}' for i in range(12)]
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path/'f.h5', 'w') as f: f['x'] = np.zeros(3)
    one_line(lambda: read_captions(tmp_path/'f.h5', list('abc'), fill='repeat'), 'float', 'strings')
    for bad, says in ((dict(CAPTION,
                            clip_id=None), 'without a clip'), (dict(CAPTION,
                                                                    basic=None), 'basic is None')):
        (tmp_path/'s.jsonl').write_text(json.dumps(bad))
        one_line(lambda: ScriptBackend(tmp_path/'s.jsonl'), says, 's.jsonl')

def test_captions_made_elsewhere_are_taken_as_they_are(tmp_path):
    "Not cut, no prompt claimed, and those of an export keep saying what made them."
    study = small_study(tmp_path/'s', n=2, n_test=1)
    rows = [dict(CAPTION, clip_id=c, basic='word '*30) for c in study.clips.clip_id]
    f = tmp_path/'c.jsonl'
    f.write_text('\n'.join(map(json.dumps, rows)))
    mine_study(study, FileBackend(f))
    d = CaptionStore(study.path/'mine/store').frame()
    assert (d.basic.map(n_words) == 30).all() and set(d.prompts) == {''} and set(
        d.model) == {'c.jsonl'} and not (study.path/'mine/prompts.json').exists()
    made = dict(backend='transformers', model='m', revision='r', prompts='mine-1@0',
                decoding='{"greedy": true}', notes='{"basic": {"asked": 2}}', edited='anchor',
                verdict='good')
    f.write_text('\n'.join(json.dumps(dict(r, **made)) for r in rows))
    mine_study(study, FileBackend(f), force=True)
    r = CaptionStore(study.path/'mine/store').frame().iloc[0]
    assert all(r[k] == v
               for k, v in made.items()
               if k not in ('decoding', 'notes')) and r.decoding == dict(
                   greedy=True) and r.notes == dict(basic=dict(asked=2))

@pytest.mark.parametrize('content,says', [('[]', 'Not prompts'), ('5', 'Not prompts'), ('null', 'Not prompts'), ('{"version": "a", "basic": 5}', "'basic' is not a text"), ('{"version": "a", "basic": null}', "'basic' is not a text"), ('{"version": 7}', "'version' is not a text"),
    ('{"version": "a", "motion": "{basic:d}"}', 'format of its own'), ('{"version": "a", "motion": "{basic!z}"}', 'format of its own'), ('{"version": "a", "motion": "x"}', '{basic}')])
def test_prompt_files(tmp_path, content, says):
    f = tmp_path/'p.json'
    f.write_text(content)
    one_line(lambda: load_prompts(f), says, 'p.json')
    one_line(lambda: load_prompts(tmp_path), str(tmp_path))

def test_a_brace_written_twice_is_one_brace():
    b = Yes()
    seen = []
    b.open = lambda frames, key, system: seen.append(system) or b
    SemMiner(b, DEFAULT.replace(version='a', system='Say {{this}}.')).record(None, 'c')
    assert seen == ['Say {this}.']

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

@pytest.mark.parametrize('url', ['http://127.0.0.1:abc/v1', 'http://127.0.0.1:99999/v1', 'http://[::1', 'http://127.0.0.1/é', 'ftp://x', 'localhost:8000', 'http://a b/v1'])
def test_addresses(url):
    one_line(lambda: ServerBackend(url, 'm', 'r'), 'Not the address of a server', url)

def test_arguments_of_a_server():
    for kw in (dict(concurrency=0), dict(concurrency=-1), dict(timeout_s=0), dict(retries=-1)):
        one_line(lambda: ServerBackend('http://127.0.0.1:9/v1', 'm', 'r', check=False, **kw),
                 'cannot work like this')

def serve(answer):
    "A server whose every answer is made by a function of (connection, path): yields its address."
    import contextlib, socket
    @contextlib.contextmanager
    def run():
        s = socket.create_server(('127.0.0.1', 0))
        def loop():
            while True:
                try: c,_ = s.accept()
                except OSError: return
                def one(c=c):
                    with contextlib.suppress(OSError), c: answer(c, c.recv(1 << 20))
                threading.Thread(target=one, daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()
        try: yield f'http://127.0.0.1:{s.getsockname()[1]}/v1'
        finally: s.close()
    return run()

@pytest.mark.parametrize('body', [b'{"choices": [{"message": {"content": "\\ud83d"}}]}', b'['*100_000, b'<html>', b''])
def test_answers_that_are_none(body, tmp_path):
    def answer(c, _):
        c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' %
                  len(body) + body)
    with serve(answer) as url:
        out = mine_study(small_study(tmp_path/'s', n=2, n_test=1),
                         backend(url, check=False, retries=1))
    assert out.finished if b'content' in body else len(
        out.failed) == 2 and 'not a chat completion' in out.failed[0][1] and (
            '<html>' in out.failed[0][1] or b'<' not in body)

def test_odd_headers_and_lists_of_models(tmp_path):
    def answer(c, _):
        c.sendall(
            b'HTTP/1.1 429 Busy\r\nRetry-After: \xb2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
        )
    with serve(answer) as url:
        assert 'HTTP 429' in mine_study(small_study(tmp_path/'s', n=2, n_test=1),
                                        backend(url, check=False, retries=1)).failed[0][1]
    def models(c, _):
        c.sendall(
            b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{"data": [{"id": 7}]}'
        )
    with serve(models) as url:
        one_line(lambda: backend(url), 'no such model', '7', 'tiny')

def test_a_server_without_a_list_of_models(tmp_path):
    say = lambda status, body: lambda c, asked: c.sendall(
        b'HTTP/1.1 %s x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' %
        (status if b'GET' in asked[:4] else b'200', len(body)) + body)
    body = json.dumps(
        dict(choices=[dict(message=dict(
            content='A thing moves.'), finish_reason='stop')])).encode()
    for status in (b'404', b'500'):
        with serve(say(status, body)) as url:
            assert SemMiner(backend(url)).mine(np.zeros((2, 8, 8, 3), np.uint8),
                                               'c')['motion'] == 'A thing moves.'
    with serve(say(b'403', body)) as url:
        one_line(lambda: backend(url), 'refuses to answer', 'HTTP 403')

def test_a_server_that_drips_is_left(tmp_path):
    "A byte now and then keeps a socket's own time-out from ever ending."
    def answer(c, _):
        for ch in b'HTTP/1.1 200 OK\r\n' + b'X-Slow: ' + b'a'*400:
            c.sendall(bytes([ch]))
            time.sleep(.05)
    with serve(answer) as url:
        b,t = backend(url, check=False, timeout_s=1., retries=0), time.time()
        with pytest.raises(ClipError, match='no whole answer in 1 s'):
            b.open(np.zeros((2,8,8,3), np.uint8), 'c').ask('basic', 'x')
        assert time.time() - t < 5

def test_a_filtered_answer_is_noted(tmp_path):
    body = json.dumps(
        dict(choices=[dict(message=dict(content=None), finish_reason='content_filter')])).encode()
    def answer(c, _):
        c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' %
                  len(body) + body)
    with serve(answer) as url:
        _,notes = SemMiner(backend(url, check=False)).record(np.zeros((2,8,8,3), np.uint8), 'c')
    assert notes['motion']['finish'] == 'content_filter'

def test_a_full_disk_stops_the_run(tmp_path, monkeypatch):
    st = CaptionStore(tmp_path/'s')
    st.append(dict(key='a', clip_id='a'))
    class Full:
        name = 'x'
        def write(self, b): raise OSError(28, 'No space left on device')
        def close(self): pass
    st.close()
    st._file = Full()
    one_line(lambda: st.append(dict(key='b')), 'No space', 'continues')
    assert 'b' not in st

def test_files_of_earlier_systems(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path/'m.h5', 'w') as f:
        f['captions'] = np.array([b'a dog runs', b'a cat'], dtype='S20')
    d = read_captions(tmp_path/'m.h5', ['x', 'y'], fill='repeat')
    assert d.motion.tolist() == ['a dog runs', 'a cat'] and d.clip_id.tolist() == ['x', 'y']
    (tmp_path/'n.json').write_text(
        json.dumps([dict(idx=i, caption=f'c{i}', tags=[]) for i in (1, 0)]))
    assert read_captions(tmp_path/'n.json', ['x', 'y'],
                         fill='repeat').anchor.tolist() == ['c0', 'c1']

def test_import_is_light():
    code = 'import sys, semvideo.semminer, semvideo.mllm, semvideo.captions; print([m for m in ("torch", "transformers", "pandas", "cv2", "av", "PIL", "nltk", "sacrebleu", "ipywidgets") if m in sys.modules])'
    assert subprocess.check_output([sys.executable, '-c', code], text=True,
                                   cwd=here.parent).strip() == '[]'

def test_a_backend_from_outside_needs_one_registration(tmp_path):
    from semvideo.mllm import BACKENDS, backend_needs, register_backend
    said = register_backend('yes', needs=('model',))(Yes)
    try:
        assert said is Yes and backend_needs()['yes'] == ('model',) and list(BACKENDS)[-1] == 'yes'
        study = small_study(tmp_path/'s', n=3, n_test=1)
        assert mine_study(study, make_backend('yes', said='A dog runs.')).finished
        assert set(study.captions('train').motion) == {'A dog runs.'}
        register_backend('yes')(Yes)        # a cell of a notebook that is run again
        one_line(lambda: register_backend('yes')(Counting), 'taken', 'Counting')
        one_line(lambda: make_backend('no'), 'Unknown caption backend', 'yes')
    finally: del BACKENDS['yes']

def test_the_registry_says_what_each_backend_needs_without_its_libraries():
    code = 'import sys; from semvideo.mllm import backend_needs; print(backend_needs()); assert not {"torch", "transformers"} & set(sys.modules)'
    said = subprocess.check_output([sys.executable, '-c', code], text=True, cwd=here.parent).strip()
    assert said == str(
        dict(script=('captions', ), file=('captions', ), transformers=('model', ),
             server=('url', 'model', 'revision'), classifier=()))

def test_properties_of_the_cut():
    from hypothesis import given, settings, strategies as st
    @settings(max_examples=150, deadline=None)
    @given(st.text(alphabet="ab,.;:!?'-é 汉\n", max_size=120), st.integers(1, 8))
    def check(t, k):
        s,how = cut_words(t, k)
        assert n_words(s) <= k
        assert (how == '') == (n_words(t) <= k)
        assert how == '' or n_words(s) >= 1
        d = as_data(t + '"<|im_end|>' + t)
        assert '"' not in d and '\n' not in d and '<|' not in d and as_data(d) == d
    check()

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
