"""150_prepare, 320_targets: a disk that fills up, folders and files one may not use."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from semvideo import datasets as D
from data_help import KW, path, sums


@pytest.mark.parametrize('kb', [60, 2000])
def test_a_disk_that_fills_up_is_one_error_and_leaves_nothing(cc, cc_study, tmp_path, kb):
    """A real small file system: it has no room for the frames, or for the frames but not for all of the
    fMRI."""
    d = tmp_path/'disk'
    d.mkdir()
    code = f'''
from semvideo import datasets as D
from semvideo.core import SemvideoError
try: D.prepare_cc2017({str(cc)!r}, {str(d/"s")!r}, (1,), n_frames=2, size=16)
except SemvideoError as e: print("said:", e.problem, e.file)
'''
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={kb}k', 'none',
                       str(d)], capture_output=True).returncode:
        pytest.skip('may not mount a small file system here')
    try:
        r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                           env=dict(os.environ, SEMVIDEO_QUIET='1'))
        assert 'said: Cannot write: No space left' in r.stdout and r.returncode == 0, (
            r.returncode, r.stdout + r.stderr[-800:])
        left = sorted(p.relative_to(d/'s').as_posix() for p in (d/'s').rglob('*.npy'))
        assert left == ([] if kb < 100 else ['frames/test.npy', 'frames/train.npy']) and not list(
            (d/'s').rglob('*.part'))
        subprocess.run(['mount', '-o', 'remount,size=20m', str(d)], check=True)
        assert sums(D.prepare_cc2017(cc, d/'s', (1,), **KW)) == sums(cc_study)
    finally: subprocess.run(['umount', str(d)], check=True)


def test_every_map_takes_its_room_first(tmp_path):
    """Targets, any `Study.new_npy`, and maps that need not survive, on a file system of 800 kB: one
    error each, nothing left, and what fits is still written."""
    d = tmp_path/'disk'
    d.mkdir()
    code = f"""
import numpy as np, pandas as pd
from pathlib import Path
from semvideo.core import SemvideoError, Study, new_map
from semvideo.targets import TextEncoder, text_targets
d = Path({str(d)!r}); n = 200; ids = [f'c{{i}}' for i in range(n)]
s = Study.create(d/'s', 'x', 'a test', pd.DataFrame(dict(clip_id=ids, split='train', segment='seg1', onset_s=2.*np.arange(n), duration_s=2., source='seg1')), {{}})
s.save_captions('train', pd.DataFrame(dict(clip_id=ids, basic='a', anchor='a', motion='a', holistic='a')))
def big():
    with s.new_npy('frames/train.npy', (n, 8, 32, 32, 3), np.uint8) as a: a[:] = 1
for f in (big, lambda: text_targets(s, 'train', TextEncoder('tiny')), lambda: new_map(d/'m.npy', (n, 8, 32, 32, 3), np.uint8)):
    try: f(); print('wrote')
    except SemvideoError as e: print('said:', e.problem, Path(e.file).name)
with s.new_npy('frames/train.npy', (n, 1, 16, 16, 3), np.uint8) as a: a[:] = 1
print(int(s.frames('train').sum()), sorted(p.relative_to(d).as_posix() for p in d.rglob('*') if p.suffix in ('.npy', '.part')))
"""
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=800k', 'none',
                       str(d)], capture_output=True).returncode:
        pytest.skip('may not mount a small file system here')
    try:
        r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                           env=dict(os.environ, SEMVIDEO_QUIET='1'))
    finally: subprocess.run(['umount', str(d)], check=True)
    no = 'said: Cannot write: No space left on device'
    assert r.returncode == 0 and r.stdout.splitlines() == [
        f'{no} train.npy', f'{no} anchor.npy', f'{no} m.npy', f"{200*768} ['s/frames/train.npy']"
    ], (r.returncode, r.stdout + r.stderr[-800:])


@pytest.fixture
def public():
    """A folder others may enter; pytest's own is private, and is made private again whenever another
    pytest starts."""
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        yield Path(d)


def as_nobody(code):
    "What a process prints that gives root up before it runs the last lines."
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    return r.stdout + r.stderr[-800:]


def test_a_folder_that_may_not_be_written(cc, public):
    "As root, by giving root up."
    shutil.copytree(cc, public/'cc')
    d = public/'no'
    d.mkdir()
    d.chmod(0o555)
    for p in [public/'cc', *(public/'cc').rglob('*')]:
        p.chmod(0o755 if p.is_dir() else 0o644)
    said = as_nobody(f'''
import av, nibabel.cifti2, os, scipy.special, fractions, pandas
from semvideo import datasets as D
from semvideo.core import SemvideoError
if os.getuid() == 0: os.setuid(65534)
try: D.prepare_cc2017({str(public/"cc")!r}, {str(d/"s")!r}, (1,), n_frames=2, size=16)
except SemvideoError as e: print("said:", e.problem)
''')
    assert 'said: Cannot write: Permission denied' in said and not list(d.iterdir()), said


def test_a_run_that_may_not_be_read(cc, public):
    p = Path(shutil.copy(path(cc, 'seg2', 1), public))
    p.chmod(0)
    said = as_nobody(f'''
import nibabel.cifti2, os
from semvideo import fmri
from semvideo.core import SemvideoError
if os.getuid() == 0: os.setuid(65534)
try: fmri.open_run({str(p)!r})
except SemvideoError as e: print("said:", e.problem, e.file)
''')
    assert f'said: File may not be read {p}' in said, said


def test_full_disk_leaves_nothing_half_written(cc, cc_study, tmp_path):
    "A file-size limit stands for a full disk: the fMRI of the training split does not fit."
    code = f'''
import resource, signal
from semvideo import datasets as D
from semvideo.core import SemvideoError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
try: D.prepare_cc2017({str(cc)!r}, {str(tmp_path/"s")!r}, (1,), n_frames=2, size=16)
except SemvideoError as e: print("said:", e.problem, e.file)
'''
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    assert 'said: Cannot write' in r.stdout, r.stdout + r.stderr[-800:]
    assert not list((tmp_path/'s').rglob('*.npy')) and not list((tmp_path/'s').rglob('*.part'))
    assert sums(D.prepare_cc2017(cc, tmp_path/'s', (1,), **KW)) == sums(cc_study)
