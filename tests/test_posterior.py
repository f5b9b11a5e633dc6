"Captions that fit what was decoded: combinations nobody trained on, errors of known shape, bad input."
import numpy as np
import pandas as pd
import pytest

from semvideo.core import SemvideoError
from semvideo.decoding_error import left_out_scores
from semvideo.posterior import CaptionPosterior, ScenePosterior, read_texts


def language(rng, kinds=6, colours=6, size=(4, 20)):
    "Captions of two words, and states that are the sum of the words' own, plus what the pair has for itself."
    kind, colour = (rng.standard_normal((n, *size)).astype("f4") for n in (kinds, colours))
    texts = [f"colour {j} kind {i}" for i in range(kinds) for j in range(colours)]
    states = np.stack([kind[i] + colour[j] for i in range(kinds) for j in range(colours)])
    return texts, states + .2*rng.standard_normal(states.shape).astype("f4")


def decoded_of(states, rng, shrink=.4):
    "What a regression makes of states: shrunk, with an error that is large in some directions."
    loud = np.where(np.arange(states[0].size) % 7 == 0, 3., .4)
    return (shrink*states.reshape(len(states), -1) + loud*rng.standard_normal((len(states), states[0].size))).reshape(states.shape)


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    texts, states = language(rng)
    seen = np.array([i for i in range(36) if i % 6 != i//6]) # the diagonal is never trained on
    shown, test = rng.choice(seen, 500), rng.integers(36, size=300)
    posterior = CaptionPosterior(texts, states, 32)
    posterior.fit(posterior.scores(decoded_of(states[shown], rng)), posterior.candidates[shown])
    return texts, states, test, posterior, decoded_of(states[test], rng)


def test_new_combinations_are_found(parts):
    texts, states, test, posterior, answers = parts
    found = posterior.log_probability(answers).argmax(1)
    new = test % 6 == test//6
    assert new.sum() > 20 and (found == test)[new].mean() > .8 and (found == test)[~new].mean() > .8
    assert all((states == s).all((1, 2)).any() for s in posterior.refined(posterior.log_probability(answers[:5])))


def test_shuffled_brains_are_noticed_as_chance(parts):
    "Answers of other clips name other captions."
    _, _, test, posterior, answers = parts
    other = np.roll(answers, 1, axis=0)
    assert (posterior.log_probability(other).argmax(1) == test).mean() < .12


def test_probabilities_are_calibrated(parts):
    _, _, test, posterior, answers = parts
    p = np.exp(posterior.log_probability(answers))
    assert abs(p.max(1).mean() - (p.argmax(1) == test).mean()) < .1 and np.allclose(p.sum(1), 1)


def test_words(parts):
    texts, _, _, posterior, answers = parts
    table = posterior.words(posterior.log_probability(answers[:4]), list("abcd"), "anchor", 2)
    assert list(table.columns) == ["clip_id", "level", "rank", "caption", "probability"] and len(table) == 8
    assert set(table.caption) <= set(texts) and (table.groupby("clip_id").probability.diff().dropna() <= 0).all()


def test_left_out_scores_do_not_see_their_segment():
    "Targets that are noise cannot be predicted where they were not seen, and are where the voxels hold them."
    rng = np.random.default_rng(1)
    z, segment = rng.standard_normal((120, 5)), np.repeat(["a", "b", "c"], 40)
    noise = left_out_scores(rng.standard_normal((120, 300)), z, segment)
    held = left_out_scores(z@rng.standard_normal((5, 300)) + .1*rng.standard_normal((120, 300)), z, segment)
    r = lambda a: np.corrcoef(a.ravel(), z.ravel())[0, 1]
    assert abs(r(noise)) < .2 and r(held) > .95


@pytest.mark.parametrize("name,text,says", [
    ("a.csv", "x,y\n1,2\n", "anchor, motion, holistic"), ("a.txt", "\n\n", "No captions"), ("none.txt", None, "No texts")])
def test_bad_texts(tmp_path, name, text, says):
    if text is not None: (tmp_path/name).write_text(text)
    with pytest.raises(SemvideoError, match=says): read_texts(tmp_path/name)


def test_texts_of_one_level(tmp_path):
    pd.DataFrame(dict(anchor=["a car", None, "a boat"])).to_csv(tmp_path/"t.csv", index=False)
    assert read_texts(tmp_path/"t.csv") == dict(anchor=["a car", "a boat"])


def test_equal_captions_everywhere():
    with pytest.raises(SemvideoError, match="Too few captions"): CaptionPosterior(["same"], np.zeros((1, 2, 3)))


# scenes

def two_levels(rng, trained):
    "Two levels that say kind and colour each in words of their own; scenes are all pairs, `trained` those measured."
    texts, states = language(rng)
    scenes = pd.DataFrame(dict(anchor=texts, motion=[t + " moves" for t in texts]))
    other = language(rng)[1]
    shown, test = rng.choice(trained, 500), rng.integers(36, size=400)
    levels, told, before = {}, {}, {}
    for level, own in (("anchor", states), ("motion", other)):
        part = CaptionPosterior(scenes[level], own, 32)
        held = decoded_of(own[shown], rng, .16)
        part.fit(part.scores(held), part.candidates[shown])
        levels[level], told[level], before[level] = part, decoded_of(own[test], rng, .16), part.log_probability(held)
    scene = ScenePosterior(levels, scenes)
    scene.calibrate(before, shown)
    return scene, told, test


@pytest.fixture(scope="module")
def scenes():
    return two_levels(np.random.default_rng(2), np.array([i for i in range(36) if i % 6 != i//6]))


def test_levels_together_are_better_than_alone_and_agree(scenes):
    scene, told, test = scenes
    chosen = scene.log_probability(told).argmax(1)
    alone = {level: part.log_probability(told[level]).argmax(1) for level, part in scene.posteriors.items()}
    right = {level: (found == test).mean() for level, found in alone.items()}
    assert (chosen == test).mean() > max(right.values()) + .03
    assert (alone["anchor"] == alone["motion"]).mean() < .95
    states = scene.refined(chosen)
    assert all(np.array_equal(states[level], part.states[chosen]) for level, part in scene.posteriors.items())


def test_scenes_never_trained_on_are_found(scenes):
    scene, told, test = scenes
    found, new = scene.log_probability(told).argmax(1), test % 6 == test//6
    assert new.sum() > 20 and (found == test)[new].mean() > .8


def test_scenes_are_as_sure_as_they_are_right(scenes):
    scene, told, test = scenes
    p = np.exp(scene.log_probability(told))
    assert abs(p.max(1).mean() - (p.argmax(1) == test).mean()) < .1
    sure, scene.sureness = scene.sureness, 1.
    naive = np.exp(scene.log_probability(told)).argmax(1)
    scene.sureness = sure
    assert 0 < sure <= 1 and (naive == p.argmax(1)).all()


def test_words_of_scenes_agree(scenes):
    scene, told, _ = scenes
    table = scene.words(scene.log_probability(told)[:5], list("abcde"), 2)
    wide = table.pivot(index=["clip_id", "rank"], columns="level", values="caption")
    assert (wide.anchor + " moves" == wide.motion).all() and len(table) == 20


def test_states_with_nan_are_said(scenes):
    scene, told, _ = scenes
    bad = {level: a.copy() for level, a in told.items()}
    bad["motion"][3] = np.nan
    with pytest.raises(SemvideoError, match="not finite"): scene.log_probability(bad)


def test_captions_of_one_word_are_captions():
    rng = np.random.default_rng(3)
    states, shown = rng.standard_normal((2, 3, 4)), rng.integers(2, size=60)
    posterior = CaptionPosterior(["car", "boat"], states)
    answers = .5*states[shown] + .05*rng.standard_normal((60, 3, 4))
    posterior.fit(posterior.scores(answers), posterior.candidates[shown])
    assert (posterior.log_probability(answers).argmax(1) == shown).all()
