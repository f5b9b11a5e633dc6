"""030_stages, 055_places, 060_order, 070_anew, 080_opening: content is identity, and nothing is
lost to a refusal."""
import os
from pathlib import Path
import numpy as np, pandas as pd, pytest
import harness
from semvideo.cli import main, study_status
from semvideo.core import (Planned, content, parse_shard, plans, read_csv, read_json, write_csv,
                           write_json, write_npy)
from study_help import study as study, chain, states, refuses

def flip(path, at=-1):
    b = bytearray(path.read_bytes())
    b[at] ^= 1
    path.write_bytes(b)

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

def test_records_say_what_made_them(study):
    assert {"semvideo", "torch", "diffusers",
            "python"} <= set(study.stages()["train/sub-1"]["made_with"])

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

def test_files_whose_record_is_gone_are_not_in_order_nor_printed(study):
    "Who edits a result and deletes its record has not made a result."
    from semvideo.report import report_study
    write_csv(study.path/"evaluate/sub-1/results.csv", pd.DataFrame(dict(metric=["SSIM"], value=[.99])))
    said = {r["stage"]: r for r in study_status(study.path)}
    assert said["evaluate"]["state"] == "damaged" and "record is gone" in said["evaluate"]["why"]
    assert main(["status", "--study", str(study.path)]) == 1 == main(["doctor", "--study", str(study.path)])
    refuses(lambda: report_study(study, 1, split="train"), "evaluate/sub-1", "record is gone")
