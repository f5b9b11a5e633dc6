"Films without a brain: what they add to decoding, that it can be switched off, and bad input."
import numpy as np
import pandas as pd
import pytest

from semvideo.core import SemvideoError, conditions_of, refined_file
from semvideo.decoders import RECIPES
from semvideo.decode import check_refinement, decode_study
from semvideo.decoding_error import DecodingError, left_out_scores, principal_axes, scores_of
from semvideo.film_prior import FilmPrior, FilmPriorConfig
from semvideo.films import TEXT_LEVELS, Films, films_of, read_films, simulated_films
from semvideo.toy import TOY_MAD, TOY_SAD, toy_study
from semvideo.train_study import train_study

SMALL = FilmPriorConfig(width=24, layers=2, components=40, steps=400)
WAYS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])


def blob_films(way, size, rng):
    "Films (n,6,1,8,8) of small or large blobs that move one of four ways, and their words (n,6)."
    n, t = len(way), np.linspace(-1.5, 1.5, 6)
    at = rng.uniform(2.5, 4.5, (n, 2))[:, None] + WAYS[way][:, None]*t[None, :, None]
    radius = np.where(size, 1.5, .7)[:, None, None, None]
    cell = np.arange(8)
    across = (cell - at[..., :1])[:, :, None, :]
    down = (cell - at[..., 1:])[:, :, :, None]
    films = np.exp(-(across**2 + down**2)/(2*radius**2))
    return films[:, :, None].astype("f4"), np.concatenate([np.eye(4)[way], np.eye(2)[size]], 1)


def shift(films):
    "How far the mass moves from the first frame to the last (n,2), cells."
    mass = films.sum(2)
    total, cell = mass.sum((2, 3)), np.arange(8)
    x, y = (mass.sum(2)*cell).sum(2)/total, (mass.sum(3)*cell).sum(2)/total
    return np.stack([x[:, -1] - x[:, 0], y[:, -1] - y[:, 0]], 1)


def right_way(films, way):
    "Share of films that move the right way, by at least half a cell."
    moved = shift(films)
    along = (moved*WAYS[way]).sum(1)
    return ((along > .5) & (along > .7*np.abs(moved).sum(1))).mean()


@pytest.fixture(scope="module")
def prior():
    "Learned without one pair of size and way; and test films of all pairs, decoded as a regression does."
    rng = np.random.default_rng(0)
    way, size = rng.integers(4, size=700), rng.integers(2, size=700)
    keep = ~((way == 2) & (size == 1))
    films, words = blob_films(way[keep], size[keep], rng)
    axes = principal_axes(films, SMALL.components)
    true, still = scores_of(axes, films), films.mean(1, keepdims=True).repeat(6, 1)
    answers = .7*scores_of(axes, still) + .1*rng.standard_normal(true.shape)
    found = FilmPrior(films, words, axes, DecodingError(answers, true), SMALL)
    losses = found.fit(seed=1)
    test_way, test_size = rng.integers(4, size=200), rng.integers(2, size=200)
    truth, told = blob_films(test_way, test_size, rng)
    mean = films.mean(0)
    decoded = mean + .7*(truth.mean(1, keepdims=True).repeat(6, 1) - mean)
    return found, losses, decoded.astype("f4"), truth, told, test_way, test_size


def test_the_prior_moves_what_regression_leaves_still(prior):
    found, losses, decoded, truth, told, way, _ = prior
    assert right_way(decoded, way) < .05 and right_way(truth, way) == 1
    assert right_way(found(decoded, told), way) > .9
    assert np.mean(losses[-20:]) < .5*np.mean(losses[:20])


def test_a_pair_never_seen_moves_as_told(prior):
    found, _, decoded, _, told, way, size = prior
    new = (way == 2) & (size == 1)
    assert new.sum() > 10 and right_way(found(decoded, told)[new], way[new]) > .8


def test_switched_off_it_does_nothing(prior):
    "Without its training, and told another clip's words, what is above would fail."
    found, _, decoded, _, told, way, _ = prior
    untrained = FilmPrior(found.latents.numpy(), np.asarray(found.text), found.axes, found.error,
                          SMALL.replace(steps=1))
    untrained.fit()
    assert right_way(untrained(decoded, told), way) < .1
    assert right_way(found(decoded, np.roll(told, 1, 0)), way) < .5


def test_the_same_seed_gives_the_same_prior(prior):
    found, losses, decoded, _, told, _, _ = prior
    again = FilmPrior(found.latents.numpy(), told[:1].repeat(len(found.text), 0)*0 + np.asarray(found.text),
                      found.axes, found.error, SMALL.replace(steps=5))
    first = again.fit(seed=3)
    assert again.fit(seed=3) == first != again.fit(seed=4)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "A toy study with captions, decoders of one epoch, and its own films as other films."
    path = tmp_path_factory.mktemp("films")
    study = toy_study(path/"toy")
    recipe = RECIPES["miniature"].to_dict()
    recipe["sad"] |= TOY_SAD
    recipe["mad"] |= TOY_MAD
    for key in recipe:
        if key.endswith(("pretrain", "tune")): recipe[key] |= dict(epochs=1, batch=32)
    clips = study.clip_ids("train")
    table = dict(clip_id=clips, basic=clips, **{level: [f"{level} of {c}" for c in clips] for level in TEXT_LEVELS})
    study.save_captions("train", pd.DataFrame(table))
    train_study(study, 1, recipe)
    films_of(study).save(path/"films")
    return study, path/"films"


def test_what_was_decoded_is_kept_and_what_is_drawn_is_beside_it(study):
    study, films = study
    file = study.path/"decode/sub-1/test.safetensors"
    plain = decode_study(study, 1)
    as_decoded = file.read_bytes()
    kw = dict(refine="scenes", motion="films", films=films, prior=SMALL.replace(steps=30))
    drawn = decode_study(study, 1, force=True, **kw)
    assert file.read_bytes() == as_decoded
    refined = refined_file(file).read_bytes()
    assert not np.allclose(drawn.latents, plain.latents) and not np.allclose(drawn.holistic, plain.holistic)
    assert np.array_equal(conditions_of(file).latents, drawn.latents)
    decode_study(study, 1, force=True, **kw)
    assert refined_file(file).read_bytes() == refined
    text_only = decode_study(study, 1, force=True, refine="scenes")
    assert np.array_equal(text_only.holistic.shape, drawn.holistic.shape)
    assert not np.allclose(text_only.latents, drawn.latents)
    decode_study(study, 1, force=True)
    assert not refined_file(file).exists() and np.array_equal(conditions_of(file).latents, plain.latents)


def test_the_levels_speak_of_one_clip(study):
    study, _ = study
    decode_study(study, 1, force=True, refine="scenes")
    said = pd.read_csv(study.path/"decode/sub-1/test-captions.csv")
    said["clip"] = said.caption.str.split(" of ").str[1]
    assert (said.groupby(["clip_id", "rank"]).clip.nunique() == 1).all()
    assert set(said.level) == set(TEXT_LEVELS)


def test_the_renderer_leaves_the_gain_of_films(study):
    from semvideo.cvr import motion_gain_of
    study, films = study
    decode_study(study, 1, force=True)
    assert motion_gain_of(study, 1, "test") is None
    decode_study(study, 1, force=True, refine="scenes", motion="films", films=films,
                 prior=SMALL.replace(steps=1))
    assert motion_gain_of(study, 1, "test") == 1


def test_latents_of_another_size(study, tmp_path):
    study, films = study
    found = read_films(films)
    Films(found.captions, found.latents[:, :2]).save(tmp_path/"short")
    with pytest.raises(SemvideoError, match="do not fit the study"):
        decode_study(study, 1, force=True, refine="scenes", motion="films", films=tmp_path/"short")
    Films(found.captions).save(tmp_path/"words")
    with pytest.raises(SemvideoError, match="do not fit the study"):
        decode_study(study, 1, force=True, refine="scenes", motion="films", films=tmp_path/"words")


@pytest.mark.parametrize("choice,says", [
    (("x", "regression", None, None), "Unknown refinement"), (("scenes", "x", None, None), "Unknown motion"),
    (("network", "films", None, None), "needs films"), (("captions", "regression", None, "f"), "refine=scenes"),
    (("scenes", "regression", "t", None), "refine=captions")])
def test_choices_that_do_not_go_together(choice, says):
    with pytest.raises(SemvideoError, match=says): check_refinement(*choice)


def test_nan_and_equal_items():
    rng = np.random.default_rng(0)
    with pytest.raises(SemvideoError, match="not finite"): principal_axes(np.full((5, 2, 3), np.nan), 2)
    with pytest.raises(SemvideoError, match="all the same"): DecodingError(rng.standard_normal((9, 3)), np.ones((9, 3)))
    with pytest.raises(SemvideoError, match="gaps"): left_out_scores(np.full((8, 3), np.nan), np.ones((8, 2)), list("aabbccdd"))


def test_one_training_segment_is_left_out_in_quarters():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((80, 3))
    x = z@rng.standard_normal((3, 50)) + .1*rng.standard_normal((80, 50))
    held = left_out_scores(x, z, ["one"]*80)
    assert np.isfinite(held).all() and np.corrcoef(held.ravel(), z.ravel())[0, 1] > .9


def test_simulated_films_are_those_of_their_seed():
    one, other = simulated_films(40, 3, seed=0), simulated_films(40, 3, seed=1)
    assert one.captions.equals(simulated_films(40, 0, seed=0).captions)
    assert not one.captions.equals(other.captions) and one.latents.shape == (3, 8, 4, 8, 8)


def test_the_verb_offers_what_decoding_knows():
    from semvideo.cli import parser
    from semvideo.decode import MOTION_SOURCES, REFINEMENTS
    decode = next(a for a in parser()._actions if a.choices and "decode" in a.choices).choices["decode"]
    offered = {a.dest: tuple(a.choices) for a in decode._actions if a.choices}
    assert (offered["refine"], offered["motion"]) == (REFINEMENTS, MOTION_SOURCES)


def test_an_untold_level_is_the_empty_caption_for_all_that_would_hear_it(study, monkeypatch):
    "MAD is told motion; the scenes are told all levels; the film prior hears the mean of what films say."
    from semvideo import decode as room
    study, films = study
    plain = decode_study(study, 1, force=True)
    monkeypatch.setattr(room, "empty_states", lambda study, level, n: np.full((n, *plain.motion.shape[1:]), .1, np.float32))
    empty = lambda decoded, level: np.ptp(getattr(decoded, level)) == 0
    no_motion = decode_study(study, 1, force=True, untold="motion")
    assert empty(no_motion, "motion") and not np.allclose(no_motion.latents, plain.latents)
    assert np.array_equal(no_motion.anchor, plain.anchor) and np.array_equal(no_motion.holistic, plain.holistic)
    no_anchor = decode_study(study, 1, force=True, untold="anchor")
    assert empty(no_anchor, "anchor") and np.array_equal(no_anchor.latents, plain.latents)
    kw = dict(refine="scenes", motion="films", films=films, prior=SMALL.replace(steps=30), force=True)
    whole, drawn = decode_study(study, 1, **kw), decode_study(study, 1, untold="motion", **kw)
    assert empty(drawn, "motion") and not empty(whole, "motion") and not np.allclose(drawn.latents, whole.latents)
    said = pd.read_csv(study.path/"decode/sub-1/test-captions.csv")
    assert set(said.level) == set(TEXT_LEVELS), "the scene that the others chose is told whole"
    with pytest.raises(SemvideoError, match="Unknown level"): decode_study(study, 1, force=True, untold="colour")


def test_scenes_are_chosen_by_the_levels_that_are_told(study):
    from semvideo.posterior import scene_posterior
    study, _ = study
    decoded = decode_study(study, 1, force=True)
    scenes = scene_posterior(study, 1)
    told = {level: getattr(decoded, level) for level in ("anchor", "holistic")}
    two, three = scenes.log_probability(told), scenes.log_probability(dict(told, motion=decoded.motion))
    assert np.allclose(np.exp(two).sum(1), 1) and not np.allclose(two, three)
    chosen = two.argmax(1)
    all_said, some_said = scenes.components(chosen, 3), scenes.components(chosen, 3, untold="motion")
    same = np.isclose(all_said, some_said).all(0)
    assert same.tolist() == [level != "motion" for level in scenes.posteriors for _ in range(3)]
    assert np.ptp(some_said[:, ~same], axis=0).max() == 0
