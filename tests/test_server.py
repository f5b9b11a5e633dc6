"""250_server: a server on a bad day, one that hangs, drips, dies or refuses, and answers that are none."""
import json
import threading
import time

import numpy as np
import pytest
from semvideo.semminer import CaptionStore, ClipError, SemMiner, mine_study, n_words
from semvideo.mllm import ServerBackend, video_parts
from semminer_help import loopback, small_study
from mining_help import backend, csvs, one_line, records, calm as calm


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
