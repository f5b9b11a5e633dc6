"010_files: no traceback, no hang, no silence, whatever a file holds."
import os
from pathlib import Path
import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from semvideo.core import (SemvideoError, read_csv, read_json, read_npy, read_safetensors,
                           write_csv, write_json, write_npy, write_safetensors)
from study_help import CLIPS, study as study, refuses

def test_a_file_that_goes_while_it_is_looked_at(study, monkeypatch):
    "Another process moves it into the trash between a look and a read: it is not there, and nothing is said of Python."
    from semvideo import files
    f = study.path/"targets/train.npy"
    real = files.file_sha256
    def gone(p):
        Path(p).unlink()
        return real(p)
    monkeypatch.setattr(files, "file_sha256", gone)
    assert files.hash_files([f], study.path/"seen.json", verify=True) == {f: None}
    assert files.file_size(f) == 0
    study.path.joinpath("clips.csv").write_text("x")
    def broken(p): raise OSError(5, "Input/output error")
    monkeypatch.setattr(files, "file_sha256", broken)
    refuses(lambda: files.hash_files([study.path/"clips.csv"], study.path/"seen.json", verify=True), "clips.csv", "Input/output")

READERS = dict(json=lambda p: read_json(p), csv=lambda p: read_csv(p),
               npy=lambda p: np.asarray(read_npy(p)).sum(),
               safetensors=lambda p: read_safetensors(p))

@settings(max_examples=150, deadline=2000, derandomize=True)
@given(kind=st.sampled_from(sorted(READERS)), at=st.integers(0, 400), new=st.binary(min_size=1, max_size=12), cut=st.booleans())
def test_mutated_files_are_read_or_refused(tmp_path_factory, kind, at, new, cut):
    p = tmp_path_factory.mktemp("f")/f"x.{kind}"
    dict(json=lambda: write_json(p, dict(a=[1, 2], b="x"*50)), csv=lambda: write_csv(p, CLIPS),
         npy=lambda: write_npy(p, np.arange(40.)),
         safetensors=lambda: write_safetensors(p, dict(w=np.arange(40.)), dict(a=1)))[kind]()
    b = p.read_bytes()
    at %= len(b)
    p.write_bytes(b[:at] + new + (b"" if cut else b[at + len(new):]))
    try: READERS[kind](p)
    except SemvideoError as e: assert str(p) in str(e)

@pytest.mark.parametrize("kind", sorted(READERS))
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, kind):
    os.mkfifo(p := tmp_path/f"x.{kind}")
    refuses(lambda: READERS[kind](p), "Not a file", str(p), "pipe")
