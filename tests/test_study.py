"""A study that cannot lie: what is changed, cut, swapped or started twice is noticed, and nothing is
lost to a typo."""
import os, signal, subprocess, sys, time
from pathlib import Path
import numpy as np, pandas as pd, pytest
from hypothesis import given, settings, strategies as st
sys.path.insert(0, str(Path(__file__).parent))
import harness
from semvideo.cli import main, study_status
from semvideo.core import (Planned, SemvideoError, Study, check_name, content, parse_shard, plans, read_csv, read_json, read_npy, read_safetensors,
                           write_csv, write_json, write_npy, write_safetensors)

CLIPS = pd.DataFrame(
    dict(clip_id=[f"seg1_{i:03d}" for i in range(6)], split="train", segment="seg1",
         onset_s=[2.*i for i in range(6)], duration_s=2., source="a.mp4"))
LEVELS = ("basic", "anchor", "motion", "holistic")

@pytest.fixture
def study(tmp_path): return chain(tmp_path)

def chain(tmp_path):
    "Three stages in a row, each with a file: prepare, targets, train."
    s = Study.create(tmp_path/"s", "s", "made here", CLIPS)
    write_npy(s.path/"frames/train.npy", np.zeros((6, 2, 8, 8, 3), np.uint8))
    s.save_captions(
        "train", pd.DataFrame([dict(clip_id=i, **{l: i
                                                  for l in LEVELS})
                               for i in CLIPS.clip_id]))
    files = [
        s.path/f for f in ("manifest.json", "clips.csv", "frames/train.npy", "captions/train.csv")
    ]
    s.stage("prepare", dict(n=1)).finish(files)
    write_npy(s.path/"targets/train.npy", np.arange(12.))
    s.stage("targets", dict(b=1), needs=("prepare",)).finish([s.path/"targets/train.npy"])
    write_safetensors(s.path/"train/sub-1/w.safetensors", dict(w=np.arange(4.)))
    s.stage("train", {}, needs=("targets", ),
            part="sub-1").finish([s.path/"train/sub-1/w.safetensors"])
    return s

def states(s, **kw): return {k: v["state"] for k, v in s.check(**kw).items()}

def flip(path, at=-1):
    b = bytearray(path.read_bytes())
    b[at] ^= 1
    path.write_bytes(b)

def refuses(f, *words):
    with pytest.raises(SemvideoError) as e: f()
    said = str(e.value)
    assert all(w in said for w in words), said
    return said

# content is identity

@pytest.mark.parametrize("file,key", [("frames/train.npy", "prepare"), ("clips.csv", "prepare"), ("captions/train.csv", "prepare"), ("targets/train.npy", "targets"), ("train/sub-1/w.safetensors", "train/sub-1")])
def test_one_bit_anywhere_stops_what_would_build_on_it(study, file, key):
    flip(study.path/file, -2)
    if file == "clips.csv":
        refuses(lambda: study.stage("decode", {}, needs=("train/sub-1",)))
    else:
        assert states(study)[key] == "damaged"
        refuses(lambda: study.stage("decode", {}, needs=("train/sub-1", )),
                Path(file).name, "was changed")

def test_a_flip_that_hides_behind_its_times_is_found_by_reading(study):
    f = study.path/"targets/train.npy"
    study.check()
    t = f.stat()
    flip(f)
    os.utime(f, ns=(t.st_atime_ns, t.st_mtime_ns))
    assert states(study, verify=True)["targets"] == "damaged"

def test_stale_reaches_all_the_way_down(study):
    study.stage("prepare", dict(n=2), force=True).finish()
    assert states(study) == {"prepare": "done", "targets": "stale", "train/sub-1": "stale"}
    refuses(lambda: study.stage("decode", {}, needs=("train/sub-1", )), "stale",
            "prepare was made again")

def test_the_same_settings_on_other_content_are_another_identity(study):
    again = study.stage("targets", dict(b=1), needs=("prepare",), force=True)
    write_npy(study.path/"targets/train.npy", np.arange(12.)[::-1])
    again.finish([study.path/"targets/train.npy"])
    refuses(lambda: study.stage("train", {}, needs=("targets", ), part="sub-1"), "stale",
            "computed_from.targets")

def test_inputs_from_outside_and_the_version_of_the_code_count(study, tmp_path):
    (tmp_path/"b").mkdir()
    (tmp_path/"b/w").write_text("1")
    one = content(tmp_path/"b")
    study.stage("render", {}, inputs=dict(bundle=one)).finish()
    (tmp_path/"b/w").write_text("2")
    assert content(tmp_path/"b") != one
    refuses(lambda: study.stage("render", {}, inputs=dict(bundle=content(tmp_path/"b"))),
            "inputs.bundle")
    refuses(lambda: study.stage("render", {}, inputs=dict(bundle=one), version=2),
            "code_version: 1 -> 2")

def test_an_input_replaced_at_its_place_makes_the_stage_stale(study, tmp_path):
    film, bundle = tmp_path/"film.mp4", tmp_path/"bundle"
    bundle.mkdir()
    (bundle/"w").write_text("1")
    film.write_text("1")
    places = dict(film=film, bundle=bundle)
    study.stage("render", {}, inputs={
        k: content(p)
        for k, p in places.items()
    }, places=places, needs=("train/sub-1", )).finish()
    study.stage("evaluate", {}, needs=("render",)).finish()
    for changed in (film, bundle/"w"):
        changed.write_text("2")
        said = study.check()
        assert said["render"]["state"] == "stale" and str(places["film"] if changed ==
                                                          film else bundle) in said["render"]["why"]
        assert said["evaluate"]["state"] == "stale" and said["train/sub-1"]["state"] == "done"
        refuses(lambda: study.stage("report", {}, needs=("evaluate",)), "stale", "was replaced")
        changed.write_text("1")
    assert set(states(study).values()) == {"done"}
    film.rename(tmp_path/"archived.mp4") # what is no longer there is not asked for
    assert set(states(study).values()) == {"done"}

@pytest.mark.parametrize("change", [dict(done=False), dict(hash="x"), dict(files={}), dict(made_with={})])
def test_a_record_that_was_edited(study, change):
    p = study.path/"stages/targets/stage.json"
    write_json(p, {**read_json(p), **change})
    refuses(lambda: study.check(), "record of a stage was changed")

@pytest.mark.parametrize("junk", ["{}", "[]", "null", "5", '{"a": ', "\x00", "[" * 5000])
@pytest.mark.parametrize("file", ["manifest.json", "stages/targets/stage.json"])
def test_junk_for_json(study, file, junk):
    (study.path/file).write_text(junk)
    refuses(lambda: (study.manifest, study.check()), Path(file).name)
    assert main(["status", "--study", str(study.path)]) and main(
        ["doctor", "--study", str(study.path)])

def test_a_log_line_that_was_changed(study):
    study.log("reads", split="test", by="decode")
    p = study.path/"log.jsonl"
    p.write_text(p.read_text().replace("decode", "nobody"))
    refuses(study.events, "line 1")
    p.write_bytes(b"\xff\n")
    refuses(study.events, "line 1")
    assert [r["state"] for r in study_status(study.path) if r["stage"] == "log"] == ["damaged"]

def test_records_say_what_made_them(study):
    assert {"semvideo", "torch", "diffusers",
            "python"} <= set(study.stages()["train/sub-1"]["made_with"])

# rows have names

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

# names

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

def test_an_undo_list_that_points_elsewhere(study, tmp_path):
    study.discard([study.path/"targets"], "test")
    p = study.path/"trash/0001/entry.json"
    write_json(p, dict(read_json(p), paths=["../../x"]))
    refuses(study.undo, "Not a path of the study")

# nothing is lost

def test_force_undo_clean(study, capsys):
    want = harness.state(study.path)
    study.stage("targets", dict(b=2), needs=("prepare",), force=True)
    assert not (study.path/"targets").exists() and states(study)["targets"] == "partial"
    assert main(["undo", "--study", str(study.path)]) == 0 and harness.state(study.path) == want
    from semvideo.core import host_id
    # of another machine, where it may still be written
    dead, there = study.path/f".x.npy.999999.{host_id()}1.part", study.path/".y.npy.999999.0a0a0a1.part"
    dead.write_text("left behind")
    there.write_text("being written")
    assert main(["clean", "--study", str(study.path), "--dry-run"
                 ]) == 0 and (study.path/"trash").exists()
    assert main(["clean", "--study", str(study.path)]) == 0 and not dead.exists() and there.exists()
    there.unlink()
    assert harness.state(study.path) == want

def test_two_who_discard_at_once_have_an_entry_each(study):
    import threading
    names = [f"file{i}" for i in range(8)]
    for n in names: (study.path/n).write_text(n)
    ready = threading.Barrier(8)
    def go(n):
        ready.wait()
        study.discard([study.path/n], n)
    threads = [threading.Thread(target=go, args=(n,)) for n in names]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sorted(t["why"] for t in study.trash()) == names
    for _ in names: study.undo()
    assert all((study.path/n).read_text() == n for n in names)

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

def test_a_refused_stage_has_touched_nothing(study):
    want = harness.state(study.path)
    for f in (lambda: study.stage("targets", {}, needs=("nope", ), force=True),
              lambda: study.stage("../x", {}), lambda: parse_shard("0/8")):
        refuses(f)
    for words in (["render", "--shard", "0/8",
                   "--force"], ["targets", "--bundle", "sd51",
                                "--force"], ["decode", "--repeats", "99",
                                             "--force"], ["prepare", "--root", "/nope", "--force"]):
        assert main([*words, "--study", str(study.path)]) == 2
    assert harness.state(study.path) == want

@pytest.mark.parametrize("s", ["9/8", "3", "0/0", "0/2", "-1/2", "1/2/3", "1.0/2", "a/b", "٣/٤", ""])
def test_shards(s): refuses(lambda: parse_shard(s), "i/n")

def test_a_plan_changes_nothing(study):
    want = harness.state(study.path)
    with plans(), pytest.raises(Planned) as e:
        study.stage("targets", dict(b=2), needs=("prepare",), force=True)
    assert e.value.does == "replace" and e.value.files == 1 and e.value.below == [
        "train/sub-1"
    ] and harness.state(study.path) == want

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

# one writer

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

def test_sources_that_change_meanwhile_leave_the_stage_open(study):
    d = study.stage("decode", {}, needs=("train/sub-1",))
    study.stage("train", dict(x=1), needs=("targets",), part="sub-1", force=True).finish()
    write_npy(d.dir/"test.npy", np.arange(3))
    refuses(lambda: d.finish([d.dir/"test.npy"]), "has changed while", "trash")
    assert "decode" not in states(study) and not d.dir.exists()
    assert any("of what has changed" in t["why"] for t in study.trash())

def test_a_file_that_is_taken_away_before_the_end_is_said(study):
    "Another shard that begins anew moves the tables: what is gone is not recorded as made."
    d = study.stage("decode", {}, needs=("train/sub-1",))
    write_npy(d.dir/"test.npy", np.arange(3))
    study.discard([d.dir/"test.npy"], "somebody else")
    refuses(lambda: d.finish([d.dir/"test.npy"]), "test.npy", "is gone")
    assert states(study)["decode"] == "partial"

def test_what_lies_further_down_must_hold_still_too(study):
    """An evaluation rests on renderings and reads decoders and targets as well: made again meanwhile, they were not there
    for a while, or are not those that were rendered from."""
    need = ("train/sub-1",)
    d, other = (study.stage("decode", {}, needs=need, part=p) for p in ("test", "other"))
    again = study.stage("targets", dict(b=1), needs=("prepare",), force=True)
    refuses(d.finish, "targets has changed while decode/test")
    write_npy(study.path/"targets/train.npy", np.arange(12.)) # the same
    again.finish([study.path/"targets/train.npy"])
    assert states(study)["train/sub-1"] == "done"
    refuses(other.finish, "targets has changed while decode/other")
    assert "decode/other" not in states(study)
    study.stage("decode", {}, needs=need, part="test").finish()
    assert states(study)["decode/test"] == "done"

def test_sigterm_ends_in_words(study):
    code = "import sys, time; from semvideo import cli; cli.VERBS['doctor'] = ((lambda a: (print('on', flush=True), __import__('subprocess').Popen(['sleep', '60']), time.sleep(60))), ()); cli.VERBS['doctor'][0].__doc__ = 'x'; sys.exit(cli.main(['doctor']))"
    p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, env=harness.ENV)
    p.stdout.readline()
    time.sleep(.3)
    import psutil
    child = psutil.Process(p.pid).children()
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=20)
    assert p.returncode == 143 and "interrupted" in err and "Traceback" not in err and child and not any(
        c.is_running() and c.status() != "zombie" for c in child)

# fuzz: no traceback, no hang, no silence

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

@pytest.mark.parametrize("kind", sorted(READERS))
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, kind):
    os.mkfifo(p := tmp_path/f"x.{kind}")
    refuses(lambda: READERS[kind](p), "Not a file", str(p), "pipe")

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

def test_an_edit_that_is_meant_is_taken_over_and_said(tmp_path):
    s = chain(tmp_path)
    f = s.path/"captions/train.csv"
    s.stage("mine", {}).finish([f])
    s.stage("targets", dict(b=2), needs=("prepare", "mine"), force=True)
    d = read_csv(f, dtype=str)
    d.loc[0, "anchor"] = "a better caption"
    write_csv(f, d)
    assert states(s)["mine"] == "damaged"
    write_csv(f, d[1:])
    assert main(["captions", "adopt", "--study", str(s.path)]) == 2 # a row is missing
    write_csv(f, d)
    assert main(["captions", "adopt", "--study", str(s.path)]) == 0
    assert states(s)["mine"] == "done" and s.stages()["mine"]["facts"]["edited"] == [
        "captions/train.csv"
    ] and s.events()[-1]["event"] == "adopted"
    refuses(lambda: s.stage("targets", dict(b=2), needs=("mine",)))

def test_pickled_weights_are_not_read(tmp_path):
    import shutil, torch
    from safetensors.torch import load_file
    from semvideo.bundle import bundle_path, load_part
    d = tmp_path/"b"
    shutil.copytree(bundle_path("tiny"), d)
    f = next((d/"text_encoder").glob("*.safetensors"))
    torch.save(load_file(f), d/"text_encoder/pytorch_model.bin")
    f.unlink()
    refuses(lambda: load_part(d, "text_encoder"), "Cannot load text_encoder", "safetensors")

def test_a_broken_picture_is_named(tmp_path):
    from semvideo.stats import score
    for d in ("a", "b"):
        (tmp_path/d/"clip").mkdir(parents=True)
        (tmp_path/d/"clip/0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    refuses(lambda: score(tmp_path/"a", tmp_path/"b", out=tmp_path/"o", models=None), "0.png")

def test_files_whose_record_is_gone_are_not_in_order_nor_printed(study):
    "Who edits a result and deletes its record has not made a result."
    from semvideo.report import report_study
    write_csv(study.path/"evaluate/sub-1/results.csv", pd.DataFrame(dict(metric=["SSIM"], value=[.99])))
    said = {r["stage"]: r for r in study_status(study.path)}
    assert said["evaluate"]["state"] == "damaged" and "record is gone" in said["evaluate"]["why"]
    assert main(["status", "--study", str(study.path)]) == 1 == main(["doctor", "--study", str(study.path)])
    refuses(lambda: report_study(study, 1, split="train"), "evaluate/sub-1", "record is gone")

NAN = float("nan")

@pytest.mark.parametrize("recipe,says", [([], "list"), ("3", "str"), (dict(sad=3), "sad = 3"), (dict(sad_pretrain=dict(epochs=-1)), "epochs = -1"), (dict(sad_pretrain=dict(epochs="3")), "epochs = '3'"), (dict(mad_tune=dict(lr=NAN)), "lr = nan"), (dict(mad_tune=dict(lr=0)), "lr = 0"), (dict(sad_tune=dict(epoch=3)), "epoch"), (dict(mad=dict(channels=[])), "channels"), (dict(mad=dict(hidden=True)), "hidden"), (dict(sad_tune=dict(precision="fp8")), "auto or fp32"), (dict(sad_tune=dict(repeats="mean")), "separate")])
def test_recipes_that_cannot_be_meant(recipe, says):
    from semvideo.decoders import as_recipe
    refuses(lambda: as_recipe(recipe), says)

def test_recipes_that_are_known_can_be_meant():
    from semvideo.decoders import RECIPES, as_recipe
    for r in RECIPES.values(): assert as_recipe(r.to_dict()).to_dict() == r.to_dict()

def test_pictures_that_are_not_what_they_seem(tmp_path, monkeypatch):
    from PIL import Image
    from semvideo.folders import clip_frames
    half = np.zeros((8, 12, 3), np.uint8)
    half[:4] = 255
    def folder(name, *pictures, **kw):
        (tmp_path/name).mkdir()
        for i, p in enumerate(pictures): p.save(tmp_path/name/f"{i}.png", **kw)
        return tmp_path/name
    sizes = folder("sizes", Image.new("RGB", (8, 8)), Image.new("RGB", (8, 9)))
    refuses(lambda: clip_frames(sizes), "different sizes", "8x8 and 9x8", "sizes")
    deep = folder("deep", Image.fromarray(np.full((8, 8), 700, np.uint16)))
    refuses(lambda: clip_frames(deep), "0.png", "more than 8 bits")
    exif = Image.Exif()
    exif[0x112] = 6 # lies on its side: shown turned by a quarter, clockwise
    turned = clip_frames(folder("turned", Image.fromarray(half), exif=exif))[0]
    assert np.array_equal(turned, np.rot90(half, -1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    refuses(lambda: clip_frames(sizes), "0.png", "pixels")

@pytest.mark.slow
def test_the_harness(tmp_path):
    """Flips, kills, a full disk and two commands at once, on a small miniature, each a few times
    (`python tests/harness.py OUT` does it whole)."""
    s, tree = harness.make(tmp_path, ("mine", "targets"), 1)
    assert harness.flips(s, 30)["missed"] == []
    k = harness.kills(s, tree, "targets", 2)
    assert k["rc"] == 0 and k["differ"] == [] and k["left"] == [], k
    d = harness.disk(s, tree, "targets")
    assert d["clear"] and d["rc_again"] == 0 and d["differ"] == [], d
    p = harness.pairs(s, tree, "targets", "targets")
    assert p["bad"] == [] and p["differ"] == [], p

@pytest.mark.slow
def test_the_harness_sees_what_is_broken(tmp_path):
    """Without locks and without a second look at the end, two renderings at once mix their seeds and say that all is done:
    that is not believed. As it is, nothing is found."""
    _, tree = harness.make(tmp_path, ("mine",), 2)
    tree = harness.shorten(tree, tmp_path/"short")
    study = tmp_path/"short-study"
    harness.complete(study, tree, ("mine", "targets", "train", "decode", "render"))
    wanted = harness.Wanted(study, tree)
    p = harness.pairs(study, tree, "render", "render", 4, (0, 1), wanted=wanted, plant="nothing_holds")
    assert any("render/sub-1/test" in b for b in p["bad"]), p
    p = harness.pairs(study, tree, "render", "render", 2, (0, 1), wanted=wanted)
    assert p["bad"] == [] and p["differ"] == [], p
    want = harness.state(study)
    recipe = tmp_path/"recipe.json"
    write_json(recipe, dict(sad_pretrain=dict(epochs=-1)))
    on = ("--study", str(study), "--force")
    for words, says in ((("train", "--recipe", str(recipe)), "epochs = -1"), (("decode", "--parts", "mad"), "told motion"), (("decode", "--parts", "sad-anchor", "sad-motion", "sad-holistic"), "latents")):
        status, _, err = harness.run(words[0], *on, *words[1:])
        assert status == 2 and says in err and "Traceback" not in err, err
    assert harness.differing(want, harness.state(study)) == []

def test_an_evaluation_that_cannot_be_meant_touches_nothing(study, tmp_path):
    from semvideo.evaluate import evaluate_study, judges_content
    want = harness.state(study.path)
    for kw in (dict(ceiling_clips=-3), dict(n_boot=0), dict(shuffle_clips=0), dict(n_boot=2.5)):
        refuses(lambda: evaluate_study(study, 1, force=True, **kw), "Not a number of clips")
    refuses(lambda: judges_content(tmp_path), "No judging networks")
    assert harness.state(study.path) == want
