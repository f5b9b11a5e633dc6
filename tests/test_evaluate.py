"""587_rivals, 588_readouts, 590_evaluate, 595_ablation, 756_ablate_verb: a whole study, small, with
the real renderer and the real judges."""
import numpy as np, pandas as pd, pytest
from semvideo.evaluate import OURS, fit_to
from semvideo.core import SemvideoError
import harness
from study_help import study as study, refuses

def test_reconstructions_are_brought_to_the_truths_shape():
    truth = np.zeros((2, 4, 16, 16, 3), np.uint8)
    assert fit_to(np.full((2, 8, 32, 32, 3), 9, np.uint8), truth).shape == truth.shape
    with pytest.raises(SemvideoError, match="Not as many"): fit_to(truth[:1], truth)

def tiny_study(path):
    """Ten true clips of moving squares, 32 training clips in two segments, decoded conditions that are
    true ones with noise, rendered by the tiny bundle."""
    from semvideo.bundle import PictureCode, TextEncoder
    from semvideo.core import Decoded, Study, write_npy
    from semvideo.cvr import render_study
    r = np.random.default_rng(0)
    n = dict(test=10, train=32)
    colours = dict(red=(220, 40, 40), blue=(40, 60, 220), green=(40, 190, 60))
    rows = []
    data = {}
    for split, k in n.items():
        names = r.choice(list(colours), k)
        v = np.full((k, 8, 64, 64, 3), 90, np.uint8)
        dx = r.integers(-3, 4, k)
        for i, c in enumerate(names):
            for f in range(8): v[i, f, 22:42, 22+dx[i]*(f-4):42+dx[i]*(f-4)] = colours[c]
        data[split] = v, [f'a {c} square moves' for c in names]
        rows += [
            dict(clip_id=f'{split}{i:02d}', split=split,
                 segment=f'{split}{1 if split == "test" else 1+i//16}', onset_s=float(i*12),
                 duration_s=2., source='x') for i in range(k)
        ]
    s = Study.create(path, 'squares', 'drawn', pd.DataFrame(rows))
    enc, code = TextEncoder('tiny'), PictureCode('tiny')
    for split, (v, texts) in data.items():
        write_npy(s.path/f'frames/{split}.npy', v)
        z = code.encode(v.reshape(-1, 64, 64, 3)).numpy().reshape(len(v), 8, 4, 8, 8)
        write_npy(s.path/f'targets/{split}/latents.npy', z)
        e = enc(texts).numpy()
        for l in ('anchor', 'motion', 'holistic'):
            write_npy(s.path/f'targets/{split}/{l}.npy', e)
        s.save_fmri(
            1, split,
            r.normal(size=(len(v), 2, 12)).astype(np.float32) + z.reshape(len(v), 1, -1)[..., :12])
    t = lambda k: np.load(s.path/f'targets/test/{k}.npy')
    noise = lambda a: (a+.1*r.normal(size=a.shape)*a.std()).astype(np.float32)
    st = s.stage('decode', dict(repeats=None), part='sub-1/test')
    d = Decoded(*(noise(t(k)) for k in ('anchor', 'motion', 'holistic', 'latents')))
    d.save(s.path/'decode/sub-1/test.safetensors')
    st.finish([s.path/'decode/sub-1/test.safetensors'])
    render_study(s, 1)
    return s

@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    from semvideo.evaluate import evaluate_study
    s = tiny_study(tmp_path_factory.mktemp("tiny")/"study")
    return s, evaluate_study(s, 1, n_boot=200, ceiling_clips=4, shuffle_clips=3)

ALL = {
    "mean image", "mean video", "static first frame", "random training clip", "frozen first frame",
    "shuffled fMRI", "shifted fMRI", "nearest training clip"
}

SOME = {"ridge", "VAE round trip", "true conditions", "second seed"}

def test_every_null_and_ceiling_stands_in_the_table(scored):
    s, t = scored; n = t[t.metric == "SSIM"].set_index("system").n.to_dict()
    assert n == {**{k: 10 for k in ALL | {OURS}}, **{k: 4 for k in SOME}}
    assert t[t.metric != "direction"].value.notna().all() and t.corrected.notna().any() and {
        "ridge", OURS
    } == set(t[t.variant.str.contains("text state")].system)

def test_rungs_are_in_their_order_where_it_must_hold(scored):
    v = scored[1][scored[1].metric == "PSNR"].set_index("system").value
    assert v["VAE round trip"] > v["true conditions"] and v["VAE round trip"] > v[OURS]
    f = scored[1][scored[1].metric == "EPE"].set_index("system")
    # a still video's error is the chance level, clip by clip
    assert np.isclose(f.value["frozen first frame"], f.chance[OURS])

def test_corrected_values_are_zero_at_chance_and_one_at_the_ideal(scored):
    from semvideo.metrics import IDEAL
    for r in scored[1].itertuples():
        if np.isfinite(r.chance) and abs(IDEAL.get(r.metric, 1)-r.chance) > 1e-9 and np.isfinite(r.value):
            want = r.value - r.chance if r.metric == "PSNR" else (r.value - r.chance)/(
                IDEAL.get(r.metric, 1.) - r.chance)
            assert np.isclose(r.corrected, want)

def test_subset_systems_are_compared_on_their_own_clips(scored):
    s, t = scored
    c = pd.read_csv(s.path/"evaluate/sub-1/clips.csv", dtype=dict(clip_id=str))
    c = c[c.metric == "PSNR"].pivot(index="clip_id", columns="system", values="value")
    r = t[(t.metric == "PSNR") & (t.system == "true conditions")].iloc[0]
    assert np.isclose(r.gain, (c[OURS]-c["true conditions"]).mean())

def test_repeats_end_where_the_results_are_and_fewer_are_decoded_by_the_decoders(scored):
    from semvideo.core import Decoded
    from semvideo.evaluate import has_decoders, repeat_states, repeats_table
    from semvideo.sad import SAD, SadConfig
    from semvideo.train import decode, load, save
    s, t = scored
    d = Decoded.load(s.path/"decode/sub-1/test.safetensors")
    x = np.array(s.fmri(1, "test"))
    _, T, D = d.anchor.shape
    assert not has_decoders(s, 1) and not (s.path/"evaluate/sub-1/repeats.csv").is_file()
    for l in ("anchor", "motion", "holistic"):
        save(
            SAD({1: x.shape[2]},
                SadConfig(level=l, tokens=T, width=D, hidden=16, mlp=(16, ), layers=1, heads=2,
                          dim_head=8, samples=0)), s.path/f"train/sub-1/sad-{l}")
    r = repeats_table(s, 1, "test", d, 100)
    got = r[(r.repeats == 2) & r.what.str.endswith("state")].set_index("what").value
    want = t[(t.system == OURS) & t.variant.str.contains("text state")].set_index("variant").value
    assert np.allclose(got, want[got.index]) and r[r.repeats == 1].what.tolist()[:3] == [
        "anchor text state", "motion text state", "holistic text state"
    ] and (r.what == "noise ceiling").sum() == 2
    k, one = next(repeat_states(s, 1, "test", d))
    assert k == 1 and np.allclose(
        one["motion"], decode(load(s.path/"train/sub-1/sad-motion"), x[:, 0], 1), atol=1e-5)

def test_card_and_page_know_the_rungs(scored):
    from semvideo.report import page_data
    from semvideo.stats import trust_card
    s, t = scored
    c = trust_card(s, 1, seconds=12.)
    ok = {x["check"]: x for x in c.checks}
    rung = c.rungs.drop_duplicates("system").set_index("system").rung
    assert set(rung[rung == "ceiling"].index) == {
        "VAE round trip", "true conditions", "second seed"
    } and rung["ridge"] == rung["nearest training clip"] == "baseline" and set(
        rung[rung == "null"].index) == ALL - {"nearest training clip"}
    assert "over 2 seeds, 4 clips" in ok["seed variance"]["says"] and c.facts["frechet"][0][
        "system"] == OURS and "frozen" not in ok["pixel fidelity"]["says"]
    s.save_captions(
        "test",
        pd.DataFrame({
            "clip_id": s.clip_ids("test"),
            **{
                l: "x"
                for l in ("basic", "anchor", "motion", "holistic")
            }
        }))
    s.save_captions(
        "train",
        pd.DataFrame({
            "clip_id": s.clip_ids("train"),
            **{
                l: "x"
                for l in ("basic", "anchor", "motion", "holistic")
            }
        }))
    d = page_data(s, 1, n=1)
    assert "true conditions (4)" in d["rivals_rule"] and any("of the set of clips" in x["caption"]
                                                             for x in d["trust"])

def test_scoring_again_changes_nothing_and_another_setting_is_refused(scored):
    from semvideo.evaluate import evaluate_study
    s, t = scored
    pd.testing.assert_frame_equal(
        evaluate_study(s, 1, n_boot=200, ceiling_clips=4, shuffle_clips=3), t, check_dtype=False)
    with pytest.raises(SemvideoError, match="ceiling_clips: 4 -> 5"):
        evaluate_study(s, 1, n_boot=200, ceiling_clips=5, shuffle_clips=3)

def test_features_are_computed_once(scored):
    "Everything on disk is scored again, in a new process's memory, without one forward pass."
    from semvideo import evaluate as E, metrics as M
    from semvideo.cvr import load_render
    s, t = scored
    truth = np.asarray(s.frames("test"))
    recon = load_render(s, 1, "test")
    m = M.load_models("tiny", cache=s.path/"evaluate/sub-1/features")
    m._forward = lambda *a: pytest.fail("computed again")
    for v in (recon, *E.null_videos(recon, s.frames("train"), 0,
                                    s.select("test").segment.to_numpy()).values()):
        E.score_system(v, truth, m, s.clip_ids("test"))

def test_what_is_added_from_outside_appears_in_the_verb(scored, tmp_path, monkeypatch, capsys):
    """A null and a metric, one registration each: rows of their own in the verb's table, all other rows
    as before, and no finished table is silently kept."""
    import shutil
    from semvideo import evaluate as E, metrics as M
    from semvideo.cli import main
    from semvideo.core import Study
    d = shutil.copytree(scored[0].path, tmp_path/"study")
    shutil.rmtree(d/"train", ignore_errors=True)
    s = Study(d)
    kw = dict(n_boot=200, ceiling_clips=0, shuffle_clips=3)
    plain = E.evaluate_study(s, 1, force=True, **kw)
    E.register_null("plain grey", lambda recon, train, seed, segments: np.full_like(recon, 128))
    M.register_metric("Brightness",
                      lambda p: abs(p.recon.mean((1, 2, 3, 4)) - p.truth.mean(
                          (1, 2, 3, 4))), "of 255", ideal=0., lower=True)
    try:
        with pytest.raises(SemvideoError, match="other settings"):
            E.evaluate_study(s, 1, **kw)
        assert main(["evaluate", "--study",
                     str(d), "--ceilings", "0", "--force"
                     ]) in (0, None) and "Brightness" in capsys.readouterr().out
        t = pd.read_csv(d/"evaluate/sub-1/results.csv")
        own = t[(t.metric == "Brightness")].set_index("system")
        assert set(t.system) == set(plain.system) | {"plain grey"} and set(
            own.index) == set(t.system) - {"ridge"} and (own.direction == "lower").all()
        key = ["system", "metric", "variant"]
        rest = t[(t.system != "plain grey") & (t.metric != "Brightness")]
        assert rest[key].values.tolist() == plain[key].values.tolist() and np.allclose(
            rest.value, plain.value, rtol=1e-8, atol=1e-12, equal_nan=True)
        assert s.settings_of("evaluate/sub-1")["added"] == dict(metrics=["Brightness (strict)"],
                                                                nulls=["plain grey"])
    finally:
        E.forget_null("plain grey")
        M.forget_metric("Brightness")

def test_readouts_stand_beside_what_the_video_shows(scored):
    "Colour is in the voxels of the squares; read-outs are fitted to training clips alone."
    from semvideo.evaluate import READOUT_COLUMNS
    s, t = scored
    r = pd.read_csv(s.path/"evaluate/sub-1/readouts.csv")
    assert tuple(r.columns) == READOUT_COLUMNS and "colour" in set(r.question)
    by = r.set_index(["question", "read_from"])
    shown = t[(t.system == OURS) & (t.variant == "judged")].set_index("metric").value
    for (question, read_from), row in by.iterrows():
        assert row.n == 10 or question == "direction"
        if row.value > 0: assert np.isclose(row.share, row.shown/row.value)
        if row.classes == 8: assert np.isclose(row.shown, shown[question])
    assert by.value["colour", "holistic text state"] > by.chance["colour", "holistic text state"]

def test_a_readout_of_shuffled_clips_stands_at_chance(scored):
    from semvideo.evaluate import frequent, judged_answers, read_out, same
    from semvideo.metrics import load_models
    s, t = scored
    models = load_models("tiny")
    answers, right = (judged_answers(np.asarray(s.frames(k)), models)["colour"] for k in ("train", "test"))
    groups = s.select("train").segment.to_numpy()
    x, new = (np.asarray(s.fmri(1, k)).mean(1) for k in ("train", "test"))
    asked = frequent(answers, 4)
    value = lambda order: np.nanmean(same(read_out(x[order], asked, groups, new), right.p, asked.asked))
    rng = np.random.default_rng(0)
    shuffled = np.mean([value(rng.permutation(len(x))) for _ in range(20)])
    most = np.bincount(right.p.argmax(1)).max()/len(right.p)  # always the same answer
    assert value(np.arange(len(x))) > shuffled + .1 and shuffled < most + .1

def test_one_training_segment_gives_no_readouts(scored):
    from semvideo.evaluate import READOUT_COLUMNS, readouts_table
    s, t = scored
    one = s.clips.assign(segment="all")
    class One:
        path, settings_of = s.path, s.settings_of
        select = staticmethod(lambda split: one[one.split == split])
    r = readouts_table(One(), 1, "test", None, None, None, None)
    assert tuple(r.columns) == READOUT_COLUMNS and not len(r)

def test_share_of_nothing_is_not_known():
    from semvideo.evaluate import share_shown
    shown, blocks = np.ones(6), np.arange(6)//2
    assert np.isnan(share_shown(shown, np.zeros(6), blocks)).all()
    assert np.isnan(share_shown(np.full(6, np.nan), shown, blocks)).all()
    share, low, high = share_shown(shown, shown, np.zeros(6, int))
    assert share == 1 and np.isnan(low) and np.isnan(high)

def test_a_branch_shares_files_and_leaves_the_study_alone(scored, tmp_path):
    from semvideo.ablation import branch_study
    s, t = scored
    before = {p: p.read_bytes() for p in s.path.rglob("*.json*")}
    own = branch_study(s, tmp_path/"own", ("targets",))
    assert own.clip_ids("test") == s.clip_ids("test") and not (own.path/"render").exists()
    assert np.array_equal(own.fmri(1, "test"), s.fmri(1, "test"))
    own.log("reads", split="test", by="ablate")
    assert {p: p.read_bytes() for p in s.path.rglob("*.json*")} == before

def test_ablation_refuses_what_it_does_not_know(scored):
    from semvideo.ablation import ablate_study
    s, t = scored
    with pytest.raises(SemvideoError, match="(?s)without-luck.*without-mad"):
        ablate_study(s, 1, ["without-luck"])
    with pytest.raises(SemvideoError, match="not trained"): ablate_study(s, 1, ["without-mad"])

def test_the_help_lists_every_row_of_an_ablation():
    from semvideo.ablation import ABLATIONS
    from semvideo.cli import VERBS
    said = next(kw["help"] for flags, kw in VERBS["ablate"][1] if flags == ("--rows",))
    assert [w for w in said.replace(" (default: all)", "").split()[1:]] == list(ABLATIONS)

def test_the_row_without_mad_keeps_the_rest(scored):
    from semvideo.ablation import without_mad
    from semvideo.core import Decoded
    s, t = scored
    d = Decoded.load(s.path/"decode/sub-1/test.safetensors")
    m = without_mad(s, 1, "test")
    assert all(np.array_equal(getattr(m, k), getattr(d, k)) for k in ("anchor", "motion", "holistic"))
    assert (m.latents == m.latents[0]).all() and not np.allclose(m.latents[0], d.latents[0])

def test_an_evaluation_that_cannot_be_meant_touches_nothing(study, tmp_path):
    from semvideo.evaluate import evaluate_study, judges_content
    want = harness.state(study.path)
    for kw in (dict(ceiling_clips=-3), dict(n_boot=0), dict(shuffle_clips=0), dict(n_boot=2.5)):
        refuses(lambda: evaluate_study(study, 1, force=True, **kw), "Not a number of clips")
    refuses(lambda: judges_content(tmp_path), "No judging networks")
    assert harness.state(study.path) == want
