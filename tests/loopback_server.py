"""An OpenAI-compatible server on the loopback, for tests: a process of its own.

    python tests/loopback_server.py --model FOLDER      a (tiny) video-language model answers
    python tests/loopback_server.py --delay 0.1         no model: the answer is made from the request, after a while

Prints its port. `--fail 429,garbage,...` spoils the first answers, one each; `--die-after N` ends the process without a word after N answers.
GET /stats tells how many requests were in flight at once, and how many distinct videos and prompts came.
"""
import argparse, base64, hashlib, json, os, sys, tempfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
a = argparse.ArgumentParser()
a.add_argument('--model')
a.add_argument('--delay', type=float, default=0.)
a.add_argument('--fail', default='')
a.add_argument('--die-after', type=int, default=0)
a.add_argument('--max-batch', type=int, default=10**6, help='answers made at a time')
a = a.parse_args()
fails, lock, slots, stats = [f for f in a.fail.split(',')
                             if f], threading.Lock(), threading.Semaphore(a.max_batch), dict(
                                 requests=0, answers=0, in_flight=0, most=0, videos=[])
backend,gpu = None, threading.Lock()
if a.model:
    from semvideo.mllm import TransformersBackend
    from semvideo.video import read_clip
    backend = TransformersBackend(
        a.model, max_tokens=dict.fromkeys(('basic', 'anchor', 'motion', 'holistic'), 10))

def words(parts, text):
    "An answer that depends on the video and the question, and on nothing else."
    h = hashlib.sha256(json.dumps([parts, text]).encode()).hexdigest()
    return f'A thing called {h[:6]} moves to the left and then to the right.'

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    def log_message(self, *_): pass
    def reply(self, status, data, length=None, **headers):
        self.send_response(status)
        for k,v in headers.items(): self.send_header(k.replace('_', '-'), v)
        self.send_header('Content-Length', str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
    def do_GET(self):
        self.reply(
            200,
            json.dumps(
                dict(stats, cpu=time.process_time()) if self.path == '/stats' else dict(
                    data=[dict(id='tiny')])).encode())
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        with lock:
            stats['requests'] += 1
            stats['in_flight'] += 1
            stats['most'] = max(stats['most'], stats['in_flight'])
            mood = fails.pop(0) if fails else ''
        try: self.answer(body, mood)
        finally:
            with lock: stats['in_flight'] -= 1
    def answer(self, body, mood):
        if mood.isdigit():
            return self.reply(int(mood), b'{"error": "busy"}',
                              **({
                                  'Retry_After': '0'
                              } if mood == '429' else {}))
        if mood == 'garbage': return self.reply(200, b'<html>it works</html>')
        if mood == 'wrong': return self.reply(200, b'{"choices": []}')
        if mood == 'truncate':
            self.reply(200, b'{"choices": [{"mess', length=500)
            self.close_connection = True
            return
        if mood == 'close':
            self.close_connection = True
            return self.connection.close()
        if mood == 'hang': time.sleep(30)
        *parts,text = body['messages'][-1]['content']
        with slots:
            time.sleep(a.delay)
            said,finish = self.ask(body, parts, text['text'])
        with lock:
            stats['answers'] += 1
            v = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
            if v not in stats['videos']: stats['videos'].append(v)
            if a.die_after and stats['answers'] > a.die_after: os._exit(9)
        self.reply(
            200,
            json.dumps(
                dict(choices=[
                    dict(message=dict(role='assistant', content='' if mood == 'empty' else said),
                         finish_reason='length' if mood == 'length' else finish)
                ])).encode())
    def ask(self, body, parts, text):
        if backend is None: return words(parts, text), 'stop'
        system = body['messages'][0]['content'][0]['text'] if body['messages'][0][
            'role'] == 'system' else ''
        with gpu, tempfile.TemporaryDirectory() as d:
            p = Path(d)/'clip.mp4'
            p.write_bytes(base64.b64decode(parts[0]['video_url']['url'].split(',', 1)[1]))
            r = backend.open(read_clip(p, 0, 2, 8, threads=1), '', system).ask('basic', text)
        return r.text, r.finish

class Server(ThreadingHTTPServer): request_queue_size,daemon_threads = 512, True

s = Server(('127.0.0.1', 0), Handler)
print(s.server_port, flush=True)
s.serve_forever()
