"020_study: a study that cannot lie: rows have names, names stay inside, refusals are words."
import numpy as np, pandas as pd, pytest
from hypothesis import given, settings, strategies as st
import harness
from semvideo.cli import study_status
from semvideo.core import SemvideoError, Study, check_name, read_csv, write_csv, write_npy
from study_help import CLIPS, study as study, chain, states, refuses

def test_a_log_line_that_was_changed(study):
    study.log("reads", split="test", by="decode")
    p = study.path/"log.jsonl"
    p.write_text(p.read_text().replace("decode", "nobody"))
    refuses(study.events, "line 1")
    p.write_bytes(b"\xff\n")
    refuses(study.events, "line 1")
    assert [r["state"] for r in study_status(study.path) if r["stage"] == "log"] == ["damaged"]

def test_a_sorted_table_gives_each_clip_its_own_words(study):
    p = study.path/"captions/train.csv"
    write_csv(p, read_csv(p, dtype=str)[::-1])
    assert study.captions("train").holistic.tolist() == CLIPS.clip_id.tolist()
    # and what was trained on it is not used until it is made again
    assert states(study)["prepare"] == "damaged"

@pytest.mark.parametrize("change,says", [(lambda d: d[1:], "lack 1 of 6"), (lambda d: pd.concat([d, d[:1]]), "twice"), (lambda d: pd.concat([d, d[:1].assign(clip_id="x")]), "something else"), (lambda d: d.drop(columns="motion"), "lack columns")])
def test_rows_missing_double_foreign(study, change, says):
    p = study.path/"captions/train.csv"
    write_csv(p, change(read_csv(p, dtype=str)))
    refuses(lambda: study.captions("train"), says, "train.csv")

def test_voxels_fit_their_columns(study):
    vox = pd.DataFrame(
        dict(grayordinate=[3, 5, 9], hemisphere="L", vertex=[3, 5, 9], parcel="V1", reliability=.5,
             p=.01))
    study.save_voxels(1, vox)
    study.save_fmri(1, "train", np.zeros((6, 1, 3), np.float32))
    assert len(study.voxels(1)) == 3
    for bad, says in ((vox[::-1], "order"), (vox[:2], "2 rows"), (pd.concat([vox, vox[:1]]), "twice")):
        study.save_voxels(1, bad)
        refuses(lambda: study.voxels(1), says)

@pytest.mark.parametrize("name", ["../../../evil", "/etc/x", "..", "x/../../evils", "a\0b", "", " a", "con/", "x" * 200])
@pytest.mark.parametrize("column", ["split", "clip_id", "segment"])
def test_a_name_never_leaves_the_study(tmp_path, column, name):
    refuses(
        lambda: Study.create(tmp_path/"s", "s", "x",
                             CLIPS.assign(**{column: [name, *CLIPS[column][1:]]})), "Not a name")
    assert not (tmp_path/"s").exists() and not list(tmp_path.parent.glob("evil*"))

@pytest.mark.parametrize("name", ["con", "NUL", "nul.txt", "Com1", "LPT9.csv", "aux.tar.gz"])
def test_a_name_of_a_device_is_none(name): refuses(lambda: check_name(name, "subject"), "Not a name")

def test_names_that_are_one_file_on_many_systems(tmp_path):
    clips = CLIPS.assign(split=["train", "Train", *CLIPS.split[2:]])
    refuses(lambda: Study.create(tmp_path/"s", "s", "x", clips), "differ in case only", "train, Train")
    assert not (tmp_path/"s").exists()

def test_a_lone_surrogate_is_no_name():
    refuses(lambda: check_name("a\ud800", "split"), "Not a name", "ud800")

def test_prepare_refused_then_corrected(tmp_path):
    "A preparation that was refused half-way does not bar the corrected one; a finished one does."
    make = lambda n: Study.create(tmp_path/"s", "s", "x", CLIPS, dict(n=n), exist_ok=True)
    make(1).stage("prepare", dict(n=1))
    write_npy(tmp_path/"s/frames/train.npy", np.zeros(3))
    s = make(2)
    assert not (tmp_path/"s/frames").exists() and s.manifest["config"] == dict(n=2)
    s.stage("prepare", dict(n=2)).finish()
    said = refuses(lambda: make(3), "Another study", "config.n: 2 -> 3")
    assert len(said) < 500

@settings(max_examples=60, deadline=4000, derandomize=True)
@given(data=st.data())
def test_mutated_studies_are_never_in_order(tmp_path_factory, data):
    "Whatever file is changed, however: `status --verify` says so or refuses, in words."
    s = chain(tmp_path_factory.mktemp("s"))
    files = harness.files_of(s.path)
    p = files[data.draw(st.integers(0, len(files) - 1))]
    b = p.read_bytes()
    at = data.draw(st.integers(0, len(b) - 1))
    new = data.draw(st.binary(min_size=0, max_size=8))
    out = b[:at] + new + b[at + data.draw(st.integers(0, 8)):]
    if out == b: return
    p.write_bytes(out)
    try:
        assert any(r["state"] not in ("done", "not begun")
                   for r in study_status(s.path, verify=True))
    except SemvideoError as e: assert len(str(e).splitlines()) <= 6

@pytest.mark.parametrize("spoil,says", [
    (lambda t: t.assign(clip_id=[None, *t.clip_id[1:]]), "Not a name for a clip_id"),
    (lambda t: t.assign(segment=[float("nan"), *t.segment[1:]]), "Not a name for a segment"),
    (lambda t: pd.concat([t, t[["split"]]], axis=1), "column twice"),
    (lambda t: t.drop(columns="split"), "lack columns")
])
def test_a_study_of_spoilt_clips_is_not_made(tmp_path, spoil, says):
    refuses(lambda: Study.create(tmp_path/"new", "s", "made here", spoil(CLIPS)), says)
    assert not (tmp_path/"new").exists()

@pytest.mark.parametrize("text", ["clip_id,basic\n\"", "\ud800".encode("utf-8", "surrogatepass"), b"\x00" * 30, ""])
def test_broken_captions(study, text):
    p = study.path/"captions/train.csv"
    p.write_bytes(text if isinstance(text, bytes) else text.encode())
    refuses(lambda: study.captions("train"), "train.csv")

def test_permission_denied(study, monkeypatch):
    "Root reads everything: the system's refusal is put in its place."
    def no(*a, **k): raise PermissionError(13, "Permission denied", str(a[0]))
    for name, f in (("numpy.load", lambda: study.frames("train")), ("pandas.read_csv", lambda: study.clips)):
        monkeypatch.setattr(name, no)
        refuses(f, "cannot be read", "Permission denied")
        monkeypatch.undo()
    monkeypatch.setattr("builtins.open", no)
    refuses(lambda: study.log("reads"), "log.jsonl", "Permission denied")
    monkeypatch.undo()
