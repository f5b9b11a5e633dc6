"""592_layout, 593_many_systems, 596_compare, 725_compare_page, 757_compare_verb: systems side by side. A system from outside in one file;
one that falls leaves the others standing; kills, shards and stale stages; and what a broken decoder may not get away with."""
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import harness
from browser_help import SIDEWAYS, Seen, browser as browser
from semvideo.compare import (Comparison, another_clip, check_given, compare_study, comparison_table, done_systems, fit_system,
                              load_shown, open_fit)
from semvideo.compare_page import compare_page
from semvideo.core import Planned, SemvideoError, Study, plans, read_csv
from semvideo.many_systems import largest_flips, many_systems
from semvideo.systems import AIMS, SYSTEMS, System, SystemCard, forget_system, register_system
from semvideo.toy_film import toy_film
from verbs_help import cli as cli, refuses, state

CONTROLS = "mean,random,retrieval"
OUTSIDE = '''
"A system of somebody else, in one file."
import numpy as np
from semvideo.ridge import Ridge
from semvideo.systems import System, SystemCard, register_system, ridge_arrays, ridge_predict

@register_system('plain-screen')
class PlainScreen(System):
    card = SystemCard('plain screen', 'the mean colour', 'a test', 'all of it', 'nothing', ('colour',))
    def learn(self, examples, seed=0):
        self.arrays = ridge_arrays('c', Ridge().fit(examples.fmri, examples.frames.mean((1, 2, 3)), examples.groups))
        self.facts = dict(shape=list(examples.frames.shape[1:]))
    def decode(self, fmri, ids=None, seed=0):
        colour = ridge_predict('c', self.arrays, fmri).clip(0, 255).astype(np.uint8)
        return np.broadcast_to(colour[:, None, None, None], (len(fmri), *self.facts['shape'])).copy()
'''


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    "A toy film on which the controls were compared; to be read, or copied."
    study = toy_film(tmp_path_factory.mktemp("compare")/"film", n=(64, 16))
    return study, compare_study(study, [1], CONTROLS)


@pytest.fixture
def copy(compared, tmp_path):
    shutil.copytree(compared[0].path, tmp_path/"film", copy_function=shutil.copy2)
    return Study(tmp_path/"film")


def added(name, **methods):
    "Register a system for a test."
    card = SystemCard(name, "of a test", "these tests", "all", "nothing")
    cls = type(name.title(), (System,), dict(card=card, **methods))
    register_system(name)(cls)
    return cls


# ---- from outside the package ----------------------------------------------------------------------------

def test_a_system_from_outside_is_one_file(compared, tmp_path):
    study = tmp_path/"film"
    shutil.copytree(compared[0].path, study, copy_function=shutil.copy2)
    (tmp_path/"outside_system.py").write_text(OUTSIDE)
    env = dict(SEMVIDEO_PLUGINS="outside_system", PYTHONPATH=str(tmp_path))
    words = ("compare", "--study", study, "--subject", "1", "--systems", "mean,plain-screen", "--models", "tiny", "--quiet")

    def run(*words, env=env):
        command = harness.Command(*words, env=env)
        out, err = command.communicate()
        return command.returncode, out, err

    code, out, err = run(*words)
    assert code == 0 and "plain-screen" in out, err
    table = read_csv(study/"compare/sub-1/test-seed0.csv")
    assert set(table.system) == {"mean", "plain-screen"} and set(AIMS) <= set(table.metric)
    page = (study/"compare/test-seed0.html").read_text()
    assert "plain screen" in page and "a test" in page
    # its file is its version: changed, what it made is stale
    (tmp_path/"outside_system.py").write_text(OUTSIDE.replace("the mean colour", "another idea"))
    code, out, err = run(*words)
    assert code == 1 and "plain-screen" in out and "stale" in out and "Traceback" not in err
    code, _, err = run(*words, env={})
    assert code == 2 and "Unknown system" in err


# ---- stages ----------------------------------------------------------------------------------------------

def test_run_again_nothing_changes_and_a_plan_says_so(copy, cli):
    words = ("compare", "--study", copy.path, "--subject", 1, "--systems", CONTROLS, "--models", "tiny", "--quiet")
    assert cli(*words)[0] == 0
    before = state(copy.path)
    assert cli(*words)[0] == 0
    assert state(copy.path) == before
    code, out, _ = cli(*words, "--dry-run")
    assert code == 0 and out.count(": keep") == 6 and state(copy.path) == before
    code, out, _ = cli(*words, "--dry-run", "--seed", 1)
    assert code == 0 and out.count("fit-seed1: make") == 3 and state(copy.path) == before
    code, out, _ = cli(*words, "--dry-run", "--force")
    assert code == 0 and out.count(": replace") == 3 and state(copy.path) == before


def test_a_call_that_ends_in_between_goes_on_to_the_same_bytes(copy, compared, monkeypatch):
    "Ends after the first blocks, after the fit, and before the scores."
    import semvideo.compare as room
    shutil.rmtree(copy.path/"compare")
    shutil.rmtree(copy.path/"stages/compare")
    for name, at in (("write_npy", 1), ("load_shown", 0), ("write_csv", 0)):
        calls, real = [], getattr(room, name)
        def falls(*words, calls=calls, real=real, at=at):
            calls.append(words)
            if len(calls) > at: raise KeyboardInterrupt
            return real(*words)
        monkeypatch.setattr(room, name, falls)
        with pytest.raises(KeyboardInterrupt): compare_study(copy, [1], "retrieval")
        monkeypatch.setattr(room, name, real)
    compare_study(copy, [1], "retrieval")
    whole = compared[0].path/"compare/sub-1/retrieval"
    files = [p for p in whole.rglob("*") if p.is_file()]
    assert len(files) == 6
    for p in files: assert (copy.path/"compare/sub-1/retrieval"/p.relative_to(whole)).read_bytes() == p.read_bytes(), p


def test_shards_share_the_systems_and_make_the_same(copy, compared):
    shutil.rmtree(copy.path/"compare")
    shutil.rmtree(copy.path/"stages/compare")
    one = compare_study(copy, [1], CONTROLS, shard="1/2")
    assert sorted(name for _, name in one.open) == ["random"]
    both = compare_study(copy, [1], CONTROLS, shard="2/2")
    assert not both.open and not both.failed
    pd.testing.assert_frame_equal(both.tables[1], compared[1].tables[1])


def test_what_rests_on_captions_that_were_mined_anew_is_stale(copy):
    captions = {s: copy.captions(s) for s in copy.splits}
    stage = copy.stage("mine", dict(toy=0), needs=("prepare",), force=True)
    for s, table in captions.items(): copy.save_captions(s, table.assign(holistic="a new caption"))
    stage.finish((copy.path/"captions").glob("*.csv"))
    with pytest.raises(SemvideoError, match="stale: what it was computed from has changed"): compare_study(copy, [1], "retrieval")
    assert not compare_study(copy, [1], "retrieval", force=True).failed


def test_changed_fmri_is_refused(copy):
    copy.save_fmri(1, "train", np.array(copy.fmri(1, "train"))[::-1])
    with pytest.raises(SemvideoError, match="damaged|stale"): compare_study(copy, [1], "retrieval")


def test_changed_scores_are_refused(copy):
    file = copy.path/"compare/sub-1/mean/test-seed0/scores.csv"
    file.write_text(file.read_text().replace("layout", "Layout"))
    c = Comparison()
    assert sorted(done_systems(copy, 1, CONTROLS.split(","), c)) == ["random", "retrieval"]
    found = compare_study(copy, [1], CONTROLS)
    assert "damaged" in found.failed[1, "mean"] and set(found.tables[1].system) == {"random", "retrieval"}


def test_a_share_and_fewer_repeats_are_tables_of_their_own(copy):
    before = {p: p.stat().st_mtime_ns for p in copy.path.rglob("compare/**/*.npy")}
    less = compare_study(copy, [1], "retrieval", share=.25)
    one = compare_study(copy, [1], "retrieval", repeats=1)
    names = {p.name for p in (copy.path/"compare/sub-1/retrieval").iterdir()}
    assert names == {"fit-seed0", "test-seed0", "fit-seed0-share0.25", "test-seed0-share0.25", "test-seed0-repeats1"}
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert len(less.tables[1]) == len(one.tables[1]) > 10
    with pytest.raises(SemvideoError, match="Not so many repeats"): compare_study(copy, [1], "retrieval", repeats=9)
    with pytest.raises(SemvideoError, match="Not a share"): compare_study(copy, [1], "retrieval", share=2.)


# ---- one that falls --------------------------------------------------------------------------------------

def test_a_system_that_fails_on_one_subject_leaves_the_others(copy, cli):
    def learn(self, examples, seed=0):
        if examples.subject == 2: raise ValueError("this brain is too large")
        self.arrays = dict(frames=examples.frames[:1])
    def decode(self, fmri, ids=None, seed=0): return np.repeat(self.arrays["frames"], len(fmri), 0)
    added("fussy", learn=learn, decode=decode)
    try:
        code, out, err = cli("compare", "--study", copy.path, "--systems", "mean,fussy", "--models", "tiny", "--quiet")
        assert code == 1 and "left out: fussy, subject 2: ValueError: this brain is too large" in out and not err
        tables = {s: read_csv(copy.path/f"compare/sub-{s}/test-seed0.csv") for s in (1, 2)}
        assert set(tables[1].system) == {"mean", "fussy"} and set(tables[2].system) == {"mean"}
        page = (copy.path/"compare/test-seed0.html").read_text()
        assert "this brain is too large" in page
    finally: forget_system("fussy")


@pytest.mark.parametrize("given", [np.zeros((16, 8, 64, 64, 3)), np.zeros((3, 8, 64, 64, 3), np.uint8), "film", None])
def test_what_cannot_be_shown_is_said(given):
    with pytest.raises(SemvideoError, match="cannot be shown"): check_given("x", given, 16)


def test_words_that_are_none(copy, cli):
    one = ("compare", "--study", copy.path, "--quiet")
    refuses(cli, *one, "--systems", "nobody", says="Unknown system")
    refuses(cli, *one, "--systems", "ridge", "--models", "tiny", says="semvideo targets")
    refuses(cli, *one, "--subject", 9, says="no subject 9")
    refuses(cli, *one, "--models", copy.path/"nowhere", "--systems", "mean", says="No judging networks")


# ---- what a broken decoder may not get away with ---------------------------------------------------------

@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    "Retrieval beside a decoder that collapsed and one that was given another clip's brain, on clips enough to tell."
    study = toy_film(tmp_path_factory.mktemp("broken")/"film", n=(160, 160), seed=1)
    retrieval = SYSTEMS["retrieval"]
    collapsed = lambda self, fmri, ids=None, seed=0: retrieval.decode(self, np.repeat(fmri[:1], len(fmri), 0), ids, seed)
    elsewhere = lambda self, fmri, ids=None, seed=0: retrieval.decode(self, np.roll(fmri, 7, 0), ids, seed)
    for name, decode in (("collapsed", collapsed), ("elsewhere", elsewhere)): added(name, learn=retrieval.learn, decode=decode)
    try: return compare_study(study, [1], "retrieval,collapsed,elsewhere,mean").tables[1]
    finally:
        for name in ("collapsed", "elsewhere"): forget_system(name)


def row(table, system, metric): return table[(table.system == system) & (table.metric == metric)].iloc[0]


@pytest.mark.long
@pytest.mark.parametrize("question", ["colour", "layout"])
def test_only_what_reads_its_own_brain_reads(broken, question):
    reader = row(broken, "retrieval", question)
    assert reader.pieces > 5 and reader.reads_low > .05 and reader.top == "yes"
    for name in ("collapsed", "elsewhere", "mean"):
        r = row(broken, name, question)
        assert r.top == "" and (r.reads_low <= 1e-9 or r.reads < .02), (name, question, r)
        assert reader.value > r.value+.1


@pytest.mark.long
def test_what_collapsed_gives_any_brain_the_same(broken):
    for question in AIMS:
        r = row(broken, "collapsed", question)
        assert abs(r.reads) < 1e-9 and r.value == pytest.approx(r.other)


@pytest.mark.long
def test_n_eff_is_printed_and_never_more_than_the_clips(broken):
    known = broken[np.isfinite(broken.n_eff)]
    assert len(known) > 20 and (known.n_eff <= known.n+1e-9).all() and (known.n_eff > 1).all()


def test_too_few_clips_make_no_number_stand_out(compared):
    table = compared[1].tables[1]
    assert (table.pieces == 0).all() and (table.top == "").all() and table.low.isna().all()


# ---- inference -------------------------------------------------------------------------------------------

def test_flips_against_all_patterns_by_hand():
    rng = np.random.default_rng(0)
    sums = rng.normal(.5, 1, (3, 7))
    z = lambda s: np.abs(s.sum(1))/np.sqrt(np.square(s).sum(1))
    largest = [z(sums*(1-2*((k >> np.arange(7)) & 1))).max() for k in range(2**7)]
    by_hand = [(np.array(largest) >= v-1e-9).mean() for v in z(sums)]
    observed, p = largest_flips(sums)
    assert np.allclose(observed, z(sums)) and np.allclose(p, by_hand)


def test_correction_grows_with_the_family_and_with_systems():
    rng = np.random.default_rng(1)
    shared, blocks = rng.normal(size=240), np.repeat(range(8), 30)
    scores = {k: shared+rng.normal(size=240)+lift for k, lift in dict(a=0, b=.4).items()}
    alone, family = (many_systems(scores, blocks, family=f).p[0, 1] for f in (1, 4))
    assert family == pytest.approx(min(1, 4*alone))
    more = scores | {k: shared+rng.normal(size=240) for k in "cdefg"}
    assert many_systems(more, blocks).p[0, 1] >= alone
    worse = many_systems({k: -v for k, v in scores.items()}, blocks, lower=True)
    assert worse.best() == 1 and worse.p[0, 1] == pytest.approx(alone)


@pytest.mark.long
def test_equal_systems_are_seldom_called_different():
    alarms = 0
    for t in range(80):
        rng = np.random.default_rng(t)
        scores = {k: np.repeat(rng.normal(size=40), 4)+.3*rng.normal(size=160) for k in range(5)} # alike for four clips
        alarms += np.nanmin(many_systems(scores, np.repeat(range(2), 80), n=499).p) < .05
    assert alarms <= 9 # 4 expected; more than 9 of 80 has a chance of .01


def test_scores_are_joined_by_name_and_not_by_row(compared):
    study, _ = compared
    folders = done_systems(study, 1, CONTROLS.split(","), Comparison())
    read = lambda file: {k: read_csv(f/file, dtype=dict(clip_id=str)) for k, f in folders.items()}
    scores, others = read("scores.csv"), read("other.csv")
    ids, blocks = study.clip_ids("test"), study.select("test").segment.to_numpy()
    turned = {k: t.iloc[::-1] for k, t in scores.items()}
    one, two = (comparison_table(s, others, ids, blocks, 99) for s in (scores, turned))
    key = ["system", "metric", "variant"]
    pd.testing.assert_frame_equal(one.sort_values(key).reset_index(drop=True), two.sort_values(key).reset_index(drop=True))


def test_another_clip_is_another_and_each_serves_once():
    segments = np.repeat(list("abcd"), [5, 4, 1, 1])
    other = another_clip(segments)
    assert (other != np.arange(11)).all() and (segments[other[:9]] == segments[:9]).all()
    with pytest.raises(SemvideoError, match="no other"): another_clip(["a"])


def test_what_was_drawn_is_what_is_read(compared):
    study, _ = compared
    shown = load_shown(study.path/"compare/sub-1/retrieval/test-seed0", 16)
    library = {clip.tobytes() for clip in study.frames("train")}
    assert shown.shape == (16, 8, 64, 64, 3) and all(clip.tobytes() in library for clip in shown)


def test_rendered_conditions_go_through_the_studys_generator(tmp_path):
    from semvideo.targets import compute_targets
    study = toy_film(tmp_path/"film", n=(24, 8))
    compute_targets(study)
    found = compare_study(study, [1], "ridge,mean", mode="fast")
    table = found.tables[1]
    assert not found.failed and set(table.system) == {"ridge", "mean"} and (study.path/"compare/sub-1/ridge/test-seed0-fast/00000.npy").is_file()
    assert row(table, "ridge", "colour").value >= row(table, "mean", "colour").value
    needs = study.stages()["compare/sub-1/ridge/test-seed0-fast"]
    assert set(needs["inputs"]) == {"judges", "bundle"} and "compare/sub-1/ridge/fit-seed0" in needs["needs"]


def test_fit_knows_what_it_was_made_of(compared):
    study, _ = compared
    record = study.stages()["compare/sub-1/retrieval/fit-seed0"]
    assert set(record["needs"]) == {"prepare", "mine"} and record["config"]["system"] == "retrieval"
    assert fit_system(study, 1, "retrieval", Comparison()).done
    with pytest.raises(Planned) as e, plans(): open_fit(study, 1, "retrieval", Comparison())
    assert e.value.does == "keep"


def test_the_page_has_figures_for_dark_and_for_narrow_windows(compared, tmp_path):
    study, found = compared
    page = compare_page(study, found, Comparison(), tmp_path/"page.html").read_text()
    asked = sum(t.metric[t.metric.isin(AIMS)].nunique() for t in found.tables.values())
    assert page.count('srcset="data:image/webp') == page.count('prefers-color-scheme: dark)" srcset') == asked > 0
    assert not re.search(r"<img[^>]*\swidth=", page), "a picture of a fixed width makes a phone scroll sideways"


@pytest.fixture(scope="module")
def shown_page(compared, tmp_path_factory):
    study, found = compared
    return compare_page(study, found, Comparison(), tmp_path_factory.mktemp("page")/"page.html")


LETTERS = "[...document.querySelectorAll('.apart img')].map(i => 8/72*150*i.clientWidth/i.naturalWidth)"
SIZES = "[...document.querySelectorAll('.films td img')].map(i => i.clientWidth)"


@pytest.mark.parametrize("width", [1300, 800, 390])
def test_a_comparison_is_read_at_every_width(browser, shown_page, width):
    for scheme in ("light", "dark"):
        seen = Seen(browser, shown_page, width, scheme)
        seen.page.wait_for_function("[...document.images].every(i => i.complete)")
        assert not seen.ask(SIDEWAYS) and seen.said == [] and seen.outside == []
        letters, clips = seen.ask(LETTERS), seen.ask(SIZES)
        assert letters and min(letters) > 9, "letters of a figure, in pixels"
        assert clips and min(clips) > 90, "a clip's three frames, in pixels"
        dark = seen.ask("document.querySelector('.apart img').currentSrc != document.querySelector('.apart img').src")
        assert dark == (scheme == "dark")
        seen.context.close()


def test_on_a_phone_names_stay_while_clips_scroll_and_questions_are_cards(browser, shown_page):
    seen = Seen(browser, shown_page, 390)
    box = "document.querySelector('.films')"
    assert seen.ask(f"{box}.scrollWidth > {box}.clientWidth")
    where = f"{box}.querySelector('tbody th').getBoundingClientRect().left"
    before = seen.ask(where)
    seen.ask(f"{box}.scrollLeft = 200")
    assert seen.ask(f"{box}.scrollLeft") == 200 and abs(seen.ask(where)-before) < 1
    asked = seen.ask("[...document.querySelectorAll('.asked tbody tr')].map(r => [r.clientWidth, r.scrollWidth])")
    assert asked and all(inner <= own < 390 for own, inner in asked)
    first = seen.page.locator('.asked td').first
    assert first.evaluate("e => getComputedStyle(e, '::before').content").strip('"').startswith("kind")


def test_cards_of_systems_open_by_keyboard(browser, shown_page):
    seen = Seen(browser, shown_page, 390)
    seen.page.locator('.one summary').first.focus()
    seen.page.keyboard.press('Enter')
    assert seen.page.locator('.one dl').first.is_visible() and not seen.ask(SIDEWAYS)
