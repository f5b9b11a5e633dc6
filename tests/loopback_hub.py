"""A model hub on the loopback: serves folders of model files as the hub does, one commit to a branch that can be moved. For tests; it stands in for the network, not for any class."""
import hashlib, json, threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

@contextmanager
def loopback_hub(repo, commits, branch):
    """`repo`: owner/name; `commits`: {commit: folder}; `branch`: {name: commit}, read at each request,
    so a test can move it. Yields (address, list of paths asked for)."""
    asked = []
    class Hub(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'
        def log_message(self, *a): pass
        def answer(self, code, body=b'', **headers):
            self.send_response(code)
            for k,v in {'Content-Length': str(len(body)), **headers}.items():
                self.send_header(k.replace('_', '-'), v)
            self.end_headers()
            if self.command == 'GET': self.wfile.write(body)
        def do_GET(self):
            path = self.path.split('?')[0].strip('/')
            asked.append(path)
            for api in (True, False):
                head = f'api/models/{repo}' if api else f'{repo}/resolve'
                if not path.startswith(head): continue
                parts = path[len(head):].strip('/').split('/')
                kind = parts.pop(0) if api and parts[0] else 'resolve'
                rev = parts.pop(0) if parts and parts[0] else 'main'
                commit = branch.get(rev, rev)
                if commit not in commits:
                    return self.answer(404, X_Error_Code='RevisionNotFound')
                folder = Path(commits[commit])
                files = [f for f in folder.rglob('*') if f.is_file()]
                if kind == 'revision':
                    return self.answer(
                        200,
                        json.dumps(
                            dict(
                                id=repo, sha=commit, siblings=[
                                    dict(rfilename=str(f.relative_to(folder))) for f in files
                                ])).encode(), Content_Type='application/json')
                if kind == 'tree':
                    return self.answer(
                        200,
                        json.dumps([
                            dict(type='file', path=str(f.relative_to(folder)),
                                 size=f.stat().st_size, oid='0'*40) for f in files
                        ]).encode() if not parts else b'[]', Content_Type='application/json')
                file = folder/'/'.join(parts)
                if not file.is_file():
                    return self.answer(404, X_Error_Code='EntryNotFound', X_Repo_Commit=commit)
                data = file.read_bytes()
                return self.answer(200, data, ETag=f'"{hashlib.sha256(data).hexdigest()}"',
                                   X_Repo_Commit=commit)
            self.answer(404, X_Error_Code='RepoNotFound')
        do_HEAD = do_GET
    server = ThreadingHTTPServer(('127.0.0.1', 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}', asked
    finally:
        server.shutdown()
        server.server_close()
