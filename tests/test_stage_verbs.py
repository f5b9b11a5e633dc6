"""755_stage_verbs, 752_mine_verb, 750_prepare_verb, 594_steering, 597_frame_order: each verb alone on one small study, in the order of the chain: it runs, run again it changes nothing, with other
settings it refuses, and a missing stage is named; then the finished study is attacked, and each attack put right again."""
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from semvideo.cli import STAGES, VERBS, main, parser
from semvideo.core import Study, write_json, write_npy
from verbs_help import cli as cli, refuses, state


N = dict(train=64, test=24) # clips of the small study: three blocks of 20 s to resample


@pytest.fixture(scope="module")
def big(miniature, tmp_path_factory):
    out = tmp_path_factory.mktemp("big")/"big"
    assert main(["prepare", "--root", str(miniature), "--study", str(out), "--subject", "1", "2", "--quiet"]) == 0
    return out


@pytest.fixture(scope="module")
def small(big):
    "The first clips of each split, as a study of its own."
    src = Study(big)
    clips = pd.concat([src.select(s)[:n] for s, n in N.items()])
    # two halves: ridge chooses its penalty on whole segments
    clips.loc[(clips.split == "train") & (clips.onset_s >= N["train"]), "segment"] = "seg1b"
    out = Study.create(big.parent/"small", "small", "the first clips of a miniature", clips, {})
    for s, n in N.items():
        write_npy(out.path/f"frames/{s}.npy", np.asarray(src.frames(s)[:n]))
        for sub in src.subjects:
            out.save_fmri(sub, s, np.asarray(src.fmri(sub, s)[:n]))
            out.save_voxels(sub, src.voxels(sub))
    out.stage("prepare", {}).finish()
    return out.path


@pytest.fixture(scope="module")
def recipe(small):
    "The miniature's recipe, one epoch of everything."
    from semvideo.train import RECIPES
    r = json.loads(RECIPES["miniature"].to_json())
    for k in ("sad_pretrain", "sad_tune", "mad_pretrain", "mad_tune"):
        r[k].update(epochs=1, batch=16)
    write_json(small.parent/"recipe.json", r)
    return str(small.parent/"recipe.json")


def again(cli, folder, *words):
    before = state(folder)
    assert cli(*words)[0] == 0
    after = state(folder)
    assert before.keys() == after.keys() and [k for k in before if before[k] != after[k]] == []


def test_prepare(big, miniature, cli):
    s = Study(big)
    assert s.subjects == [1, 2] and len(s.frames("train")) == 240 and len(s.voxels(1)) > 20
    again(cli, big, "prepare", "--root", miniature, "--study", big, "--subject", 1, 2, "--quiet")
    refuses(cli, "prepare", "--root", miniature, "--study", big, "--subject", 1, 2, "--frames", 4,
            says="frames")


@pytest.mark.parametrize("verb,says", [("targets", "mine"), ("train", "targets"), ("decode", "train"), ("render", "decode"), ("evaluate", "render")])
def test_a_missing_stage_is_named(small, cli, verb, says):
    refuses(cli, verb, "--study", small, "--quiet", says=f"semvideo {says}")


def test_mine_by_shards(small, miniature, cli):
    scripts = miniature/"truth/scripts.jsonl"
    refuses(cli, "mine", "--study", small, "--backend", "script", says="--captions")
    rc, out, _ = cli("mine", "--study", small, "--backend", "script", "--captions", scripts,
                     "--shard", "2/3", "--quiet")
    assert rc == 0 and "scene scripts" in out
    refuses(cli, "targets", "--study", small, "--quiet", says="semvideo mine")
    for i in (1, 3):
        assert cli("mine", "--study", small, "--backend", "script", "--captions", scripts,
                   "--shard", f"{i}/3", "--quiet")[0] == 0
    s = Study(small)
    assert s.captions("train").clip_id.tolist() == s.clip_ids("train") and (s.captions("test")[[
        "basic", "anchor", "motion", "holistic"
    ]] != "").all(axis=None)
    again(cli, small, "mine", "--study", small, "--backend", "script", "--captions", scripts,
          "--quiet")


def test_mine_numbered_captions(small, miniature, tmp_path, cli):
    "What earlier systems released: one caption a clip, numbered, a file a split."
    s = Study(small); f = {k: tmp_path/f"{k}.json" for k in s.splits}
    for k, p in f.items():
        p.write_text(
            json.dumps(
                [dict(idx=str(i), caption=f"{k} {i}", tags=[]) for i in range(len(s.clip_ids(k)))]))
    one = ("mine", "--study", small, "--backend", "file", "--quiet", "--force", "--captions")
    refuses(cli, *one, *f.values(), says="train=FILE test=FILE")
    refuses(cli, *one, *(f"{k}={p}" for k, p in f.items()), says="--fill")
    refuses(cli, *one, f"night={f['train']}", says="night")
    assert cli(*one, *(f"{k}={p}" for k, p in f.items()), "--fill",
               "repeat")[0] == 0 and s.captions("train").motion[11] == "train 11"
    refuses(cli, "mine", "--study", small, "--backend", "server", "--url", "http://127.0.0.1:9/v1",
            "--model", "m", "--revision", "r", "--api-key-env", "NO_SUCH_KEY", says="NO_SUCH_KEY")
    assert cli("mine", "--study", small, "--backend", "script", "--captions",
               miniature/"truth/scripts.jsonl", "--force", "--quiet")[0] == 0


def test_targets(small, cli):
    assert cli("targets", "--study", small, "--bundle", "tiny", "--quiet")[0] == 0
    again(cli, small, "targets", "--study", small, "--bundle", "tiny", "--quiet")


def test_train(small, recipe, cli):
    words = ("train", "--study", small, "--subject", 1, "--recipe", recipe, "--quiet")
    assert cli(*words)[0] == 0
    again(cli, small, *words)
    refuses(cli, *words, "--seed", 5, says="other settings")
    refuses(cli, "train", "--study", small, "--subject", 9, "--quiet", says="no subject")


def test_decode(small, cli):
    words = ("decode", "--study", small, "--subject", 1, "--quiet")
    assert cli(*words)[0] == 0
    again(cli, small, *words)
    refuses(cli, *words, "--repeats", 1, says="other settings")
    again(cli, small, *words, "--force")


def test_render_by_shards(small, cli):
    words = ("render", "--study", small, "--subject", 1, "--quiet")
    assert cli(*words, "--shard", "2/2")[0] == 0
    refuses(cli, "evaluate", "--study", small, "--subject", 1, "--quiet", says="semvideo render")
    refuses(cli, *words, "--seed", 4, says="other settings")
    assert cli(*words, "--shard", "1/2")[0] == 0
    again(cli, small, *words)


def test_a_shard_ends_with_the_same_clips(small, cli):
    from semvideo.cvr import load_render
    s = Study(small); a = load_render(s, 1, "test")
    assert cli("render", "--study", small, "--subject", 1, "--quiet", "--force")[0] == 0
    assert (load_render(s, 1, "test") == a).all()


def test_evaluate(small, cli):
    words = ("evaluate", "--study", small, "--subject", 1, "--ceilings", 4, "--quiet")
    assert cli(*words)[0] == 0
    t = pd.read_csv(small/"evaluate/sub-1/results.csv")
    assert {
        "SemVideo", "mean video", "static first frame", "random training clip", "shuffled fMRI",
        "ridge"
    } <= set(t.system)
    assert {"kind", "colour", "direction"} <= set(t.metric) and t.chance.notna().any()
    again(cli, small, *words)
    refuses(cli, *words, "--profile", "paper", says="profile: strict -> paper")
    again(cli, small, *words, "--force")


def test_order_of_frames_by_both_generators(small, cli):
    "Every row twice; a run that was cut goes on; another clip's latents and the truth's are told apart."
    words = ("evaluate", "--study", small, "--subject", 1, "--ceilings", 4, "--shuffle", "--shuffle-clips", 4, "--quiet")
    rc, out, _ = cli(*words, "--dry-run")
    assert rc == 0 and "order/sub-1" in out and not (small/"order").exists()
    assert cli(*words)[0] == 0
    t = pd.read_csv(small/"order/sub-1/order.csv")
    assert t.groupby("generator").row.nunique().tolist() == [4, 4] and t.by_epe.between(0, 1).all()
    clips = {p.stem: np.load(p) for p in (small/"order/sub-1").glob("*.npy")}
    assert len(clips) == 8 and {c.shape for c in clips.values()} == {(4, *Study(small).frames("test").shape[1:])}
    assert len({c.tobytes() for c in clips.values()}) == 8, "each row and generator draws something of its own"
    order = ("as-decoded-video-network", "without-motion-text-video-network")
    own = Study(small/"order/sub-1/study")
    assert own.settings_of("decode/sub-1/test")["untold"] == "motion"
    assert not np.array_equal(*(clips[k] for k in order))
    before = {p.name: p.read_bytes() for p in (small/"order/sub-1").glob("*.*")}
    shutil.rmtree(small/"stages/order")
    (small/"order/sub-1/without-MAD-picture-network.npy").unlink()
    assert cli(*words)[0] == 0
    assert {p.name: p.read_bytes() for p in (small/"order/sub-1").glob("*.*")} == before
    again(cli, small, *words)


def test_each_source_of_the_renderer_is_taken_away(small, cli):
    "The whole is the study's own rendering but for who was rendered together; every row draws something of its own; a row that was cut goes on."
    from semvideo.cvr import load_render
    from semvideo.evaluate import evenly
    words = ("evaluate", "--study", small, "--subject", 1, "--ceilings", 4, "--steering", "--steering-clips", 2, "--quiet")
    rc, out, _ = cli(*words, "--dry-run")
    assert rc == 0 and "steering/sub-1" in out and not (small/"steering").exists()
    rc, out, _ = cli(*words)
    assert rc == 0 and "motion reversed" in out
    clips = {p.stem: np.load(p) for p in (small/"steering/sub-1").glob("*.npy")}
    own = load_render(Study(small), 1, "test")
    assert np.abs(clips["decoded-whole"].astype(int) - own[evenly(len(own), 2)]).max() <= 2
    assert len(clips) == 18 and len({c.tobytes() for c in clips.values()}) == 18
    still = np.abs(np.diff(clips["true-motion-still"].astype(float), axis=1)).mean()
    assert still < np.abs(np.diff(clips["true-whole"].astype(float), axis=1)).mean()
    t = pd.read_csv(small/"steering/sub-1/table.csv")
    assert {"kind", "direction", "EPE", "VIFI-score", "flicker"} <= set(t.metric) and (t[t.row == "whole"].difference == 0).all()
    (small/"stages/steering/sub-1/stage.json").unlink()
    (small/"steering/sub-1/true-anchor-off.npy").unlink()
    before = (small/"steering/sub-1/table.csv").read_bytes()
    assert cli(*words)[0] == 0 and (small/"steering/sub-1/table.csv").read_bytes() == before
    again(cli, small, *words)


def test_explain(small, cli):
    assert cli("explain", "--study", small, "--subject", 1, "--quiet")[0] == 0
    again(cli, small, "explain", "--study", small, "--subject", 1, "--quiet")


def test_explain_writes_the_maps_on_fsaverage5(small, cli, tmp_path):
    from semvideo.cortex import hcp_file
    before = state(small)
    words = "explain", "--study", small, "--subject", 1, "--quiet"
    refuses(cli, *words, "--spheres", tmp_path, says="--spheres is for --fsaverage5")
    refuses(cli, *words, "--fsaverage5", tmp_path/"out", "--spheres", tmp_path, says="registers fsLR to fsaverage is missing")
    for side in "LR": # a registration that moves nothing
        name = f"fs_LR-deformed_to-fsaverage.{side}.sphere.32k_fs_LR.surf.gii"
        shutil.copy(hcp_file(f"S1200.{side}.sphere.32k_fs_LR.surf.gii"), tmp_path/name)
    assert cli(*words, "--fsaverage5", tmp_path/"out", "--spheres", tmp_path)[0] == 0
    assert sorted(f.name for f in (tmp_path/"out").iterdir()) == [f"sub-1_space-fsaverage5_hemi-{s}.func.gii" for s in "LR"]
    assert state(small) == before


def test_report(small, cli):
    rc, out, _ = cli("report", "--study", small, "--subject", 1, "--quiet")
    assert rc == 0 and out.strip().endswith("report.html") and (
        small/"report.html").stat().st_size > 10_000


def test_the_page_is_kept_only_where_it_would_come_out_as_it_stands(small, monkeypatch):
    from semvideo import report
    study, page = Study(small), small/"report.html"
    files, bytes_now = [small/f for f in study.stages()["report"]["files"]], page.read_bytes()
    opened = lambda: report.report_stage(study, 1, "test", 8, keep=True)

    def kept():
        "Is it kept? It is finished again where not."
        stage = opened()
        if done := stage.done: assert report.report_study(study, 1, keep=True) == page
        else: stage.finish(files)
        return done

    assert kept() and page in files
    page.write_bytes(bytes_now + b" ")
    assert not opened().release().done
    page.write_bytes(bytes_now)
    assert not kept() and kept() # it was opened
    study.log("reads", split="test", by="evaluate", subject=1)
    assert not kept() and kept() # the log says more
    monkeypatch.setattr(report, "_drawn_by", lambda: "other code")
    assert not kept() and kept()
    monkeypatch.undo()
    assert not kept() and kept()
    asked = report.report_stage(study, 1, "test", 8) # as `semvideo report` asks, which writes it anew
    assert not asked.done
    asked.finish(files)


def test_the_page_does_not_list_itself_as_unfinished(small):
    page = (small/"report.html").read_text()
    assert "Settings of render/sub-1/test" in page and "Settings of report" not in page


def test_doctor_knows_the_study(small, cli):
    rc, out, _ = cli("doctor", "--study", small)
    assert all(
        any(s in line and line.startswith("ok") for line in out.splitlines()) for s in STAGES), out


def test_only_evaluation_and_decoding_read_the_test_split(small):
    by = {
        e["by"]
        for e in Study(small).events()
        if e.get("event") == "reads" and e.get("split") == "test"
    }
    assert "evaluate" in by and "train" not in by and "mine" not in by


def test_a_verb_from_outside_needs_one_registration(small, cli):
    """It is run, planned, refused and told of in the help like our own; the room that registers and the
    door share one table."""
    import semvideo.verbs
    from semvideo.cli import DRY, FORCE, STUDY, say, verb
    assert semvideo.verbs.VERBS is VERBS
    @verb(STUDY, FORCE, DRY)
    def do_count_clips(a):
        "How many clips a study holds."
        s = Study(a.study)
        st = s.stage("count", {}, needs=("prepare",), force=a.force)
        say(len(s.clips))
        st.finish()
    try:
        assert "count-clips" in parser().format_help()
        rc, out, _ = cli("count-clips", "--study", small, "--dry-run")
        assert rc == 0 and out.startswith("count: make") and "Traceback" not in out
        rc, out, _ = cli("count-clips", "--study", small)
        assert rc == 0 and out.strip() == str(sum(N.values()))
        refuses(cli, "count-clips", "--study", small/"nowhere", says="nowhere")
    finally:
        VERBS.pop("count-clips")
        shutil.rmtree(small/"stages/count", ignore_errors=True)


def both(cli, *words):
    rc, out, err = cli(*words)
    return rc, out + err


def test_status_and_doctor_say_the_same(small, cli):
    rc, said = both(cli, "status", "--study", small, "--verify")
    assert rc == 0 and "every byte was read" in said
    rows = json.loads(cli("status", "--study", small, "--json")[1])
    assert {r["state"]
            for r in rows} == {"done"} and {
                r["stage"]
                for r in rows
            } >= {"prepare", "mine", "targets", "decode/sub-1/test", "render/sub-1/test", "report"}
    f = small/"targets/train/motion.npy"
    b = f.read_bytes()
    f.unlink()
    assert cli("status", "--study", small)[0] == cli("doctor", "--study", small)[0] == 1
    f.write_bytes(b)
    assert cli("status", "--study", small)[0] == 0


@pytest.mark.parametrize("file,verb", [("captions/train.csv", "train"), ("targets/test/latents.npy", "evaluate"), ("train/sub-1/mad/model.safetensors", "decode"), ("decode/sub-1/test.safetensors", "render"), ("render/sub-1/test/00008.npy", "evaluate"), ("evaluate/sub-1/results.csv", "report"), ("explain/sub-1/anchor.csv", "report")])
def test_nothing_is_built_on_or_printed_from_a_changed_file(small, cli, file, verb):
    f = small/file
    b = f.read_bytes()
    new = bytearray(b)
    new[-3] ^= 1
    f.write_bytes(new)
    page = (small/"report.html").read_bytes()
    try:
        refuses(cli, verb, "--study", small, "--subject", 1, "--quiet", says="was changed")
    finally: f.write_bytes(b)
    assert (small/"report.html").read_bytes() == page and cli("status", "--study", small)[0] == 0


def test_a_forced_shard_spares_the_others(small, cli):
    before = state(small)
    words = ("render", "--study", small, "--subject", 1, "--quiet", "--force")
    assert cli(*words, "--shard", "2/2", "--dry-run")[0] == 0 and state(small) == before
    t = {p.name: p.stat().st_mtime_ns for p in (small/"render/sub-1/test").glob("*.npy")}
    assert cli(*words, "--shard", "2/2")[0] == 0
    now = {p.name: p.stat().st_mtime_ns for p in (small/"render/sub-1/test").glob("*.npy")}
    assert [n for n in t if t[n] != now[n]] == ["00008.npy"] and state(small) == before


def test_other_seeds_make_stale_all_the_way_down(small, recipe, cli):
    assert cli("train", "--study", small, "--subject", 1, "--recipe", recipe, "--seed", 1,
               "--force", "--quiet")[0] == 0
    for verb in ("decode", "render", "evaluate", "report"):
        refuses(cli, verb, "--study", small, "--subject", 1, "--quiet", says="stale")
    rc, said = both(cli, "status", "--study", small)
    assert rc == 1 and "render/sub-1/test" in said and "made again" in said
    for _ in range(8): assert cli("undo", "--study", small)[0] == 0
    assert cli("status", "--study", small, "--verify")[0] == 0


@pytest.mark.parametrize("verb", ["mine", "targets", "train", "decode", "render", "evaluate", "explain", "report"])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_dry_run_changes_nothing(small, miniature, cli, verb, force):
    more = dict(mine=("--backend", "script", "--captions", miniature/"truth/scripts.jsonl"),
                render=("--shard", "1/2")).get(verb, ())
    log = (small/"log.jsonl").read_bytes()
    page = (small/"report.html").read_bytes()
    before = state(small)
    cli(verb, "--study", small, *more, *force, "--dry-run", "--quiet")
    assert state(small) == before and (small/"log.jsonl").read_bytes() == log and (
        small/"report.html").read_bytes() == page
