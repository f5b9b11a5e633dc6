"""The miniature from a plain script: several processes, no `if __name__ == '__main__'`, the same bytes
as in one."""
import os, subprocess, sys
from semvideo.core import file_sha256
from semvideo.simulate import make_miniature

def sums(tree):
    return {
        p.relative_to(tree).as_posix(): file_sha256(p)
        for p in sorted(tree.rglob('*'))
        if p.is_file()
    }

def test_a_plain_script_needs_no_guard(tmp_path):
    script, kw = tmp_path/'plain.py', dict(n_subjects=1, n_train=1, train_repeats=1, test_repeats=1,
                                           seed=5)
    script.write_text(
        f"import semvideo.simulate as s\nprint('read once', flush=True)\ns.make_miniature({str(tmp_path/'a')!r}, "
        f"**{kw!r})\nprint('made', flush=True)\n")
    r = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    assert r.returncode == 0 and r.stdout.split('\n') == ['read once', 'made', ''
                                                          ] and r.stderr == '', (r.returncode,
                                                                                 r.stdout,
                                                                                 r.stderr[-800:])
    assert sums(make_miniature(tmp_path/'b', workers=1, **kw)) == sums(tmp_path/'a')
