"""369_field_parts, 370_systems, 372_wen, 374_mind_video, 376_neuroclips, 378_neurons, 380_mind_animator, 382_semvideo_systems,
398_plain_systems, 399_field: the contract held by every system, core formulas against plain references, sizes of the papers."""
import inspect
import math

import numpy as np
import pytest
import torch
from semvideo.core import Decoded, SemvideoError
from semvideo.field import SYSTEMS, all_systems
from semvideo.field_parts import best_match, mixco_loss
from semvideo.softclip import info_nce
from semvideo.ridge import mean_repeats
from semvideo.systems import (PAPER_SHAPES, Examples, System, SystemCard, check_card, forget_system, load_system,
                              register_system, save_system, share_rows)
from semvideo.toy_film import toy_film

PAPERS = ["nishimoto", "wen", "kupershmidt", "f-cvgan", "mind-video", "neuroclips", "mind-animator", "neurons", "vcflow", "cineneuron",
          "semvideo", "ours"]
CONTROLS = ["mean", "random", "retrieval", "ridge"]


def test_the_field_stands_in_its_order():
    assert all_systems() == PAPERS + CONTROLS
    assert all_systems("ridge, wen") == ["ridge", "wen"]
    with pytest.raises(SemvideoError, match="Unknown system"): all_systems("wen,nobody")


@pytest.mark.parametrize("name", PAPERS + CONTROLS)
def test_a_card_says_whose_idea_it_is(name):
    card = SYSTEMS[name].card
    check_card(name, card)
    assert "no code" in card.licence
    if name in PAPERS: assert any(year in card.source for year in map(str, range(2011, 2027))), card.source


@pytest.mark.parametrize("name", PAPERS)
def test_the_size_of_the_paper_is_built_without_memory(name):
    with torch.device("meta"): networks = SYSTEMS[name]("paper").networks(PAPER_SHAPES)
    for net in networks.values():
        assert all(p.is_meta for p in net.parameters())
    if name not in ("nishimoto", "cineneuron"): assert networks, name


# ---- what is refused -------------------------------------------------------------------------------------

class Plain(System):
    card = SystemCard("plain", "nothing is read", "these tests", "all", "nothing")
    def learn(self, examples, seed=0): self.arrays = dict(mean=examples.frames.mean(0).astype(np.uint8))
    def decode(self, fmri, ids=None, seed=0): return np.repeat(self.arrays["mean"][None], len(fmri), 0)


@pytest.fixture
def registered():
    register_system("plain-of-tests")(Plain)
    yield
    forget_system("plain-of-tests")


@pytest.mark.parametrize("field", ["source", "title", "idea", "faithful", "changed", "licence"])
def test_a_card_with_a_gap_is_refused(field):
    gap = type("Gap", (Plain,), dict(card=Plain.card.replace(**{field: " "})))
    with pytest.raises(SemvideoError, match=f"no {field}"): register_system("gap")(gap)
    assert "gap" not in SYSTEMS


def test_no_card_and_odd_aims_are_refused():
    with pytest.raises(SemvideoError, match="no source"): register_system("gap")(type("Gap", (System,), {}))
    odd = type("Odd", (Plain,), dict(card=Plain.card.replace(aims=("taste",))))
    with pytest.raises(SemvideoError, match="not asked"): register_system("odd")(odd)


def test_two_systems_of_one_name_are_refused(registered):
    with pytest.raises(SemvideoError, match="there already"):
        register_system("plain-of-tests")(type("Another", (Plain,), {}))
    with pytest.raises(SemvideoError, match="there already"): register_system("wen")(type("Wen", (Plain,), {}))
    assert SYSTEMS["plain-of-tests"] is Plain


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    "A toy film with the targets of the tiny bundle."
    from semvideo.targets import compute_targets
    study = toy_film(tmp_path_factory.mktemp("systems")/"film", n=(48, 8))
    compute_targets(study)
    return study


@pytest.mark.parametrize("name", ["mind-video", "neuroclips", "neurons", "mind-animator", "semvideo", "ours", "ridge"])
def test_a_text_system_without_captions_says_so_in_one_line(name, tmp_path):
    import shutil
    study = toy_film(tmp_path/"film", n=(8, 4))
    shutil.rmtree(study.path/"captions")
    with pytest.raises(SemvideoError, match=f"{name} reads captions, and the study has none") as e: SYSTEMS[name]().fit(study, 1)
    assert "semvideo mine" in e.value.remedy and len(str(e.value.problem).splitlines()) == 1


# ---- what a system may learn from ------------------------------------------------------------------------

def test_shares_are_nested_whole_at_one_and_never_empty():
    segments = np.repeat(list("abc"), [12, 8, 2])
    rows = [set(share_rows(segments, s)) for s in (.1, .25, .5, 1.)]
    assert all(a <= b for a, b in zip(rows, rows[1:])) and rows[-1] == set(range(22))
    assert {segments[r] for r in rows[0]} == set("abc")
    for bad in (0, -1, 1.01):
        with pytest.raises(SemvideoError, match="Not a share"): share_rows(segments, bad)


def test_examples_hold_the_training_split_alone(film):
    examples = Examples(film, 1, .5)
    assert set(examples.ids) < set(film.clip_ids("train")) and len(examples.fmri) == len(examples) == 24
    rows = np.array([film.clip_ids("train").index(i) for i in examples.ids])
    assert (examples.frames == film.frames("train")[rows]).all()
    assert examples.captions.clip_id.tolist() == examples.ids
    assert (examples.target("motion") == np.asarray(film_target(film, "motion"))[rows]).all()
    assert examples.of(2).ids == examples.ids and examples.others == [2]


def film_target(study, name):
    from semvideo.targets import target
    return target(study, "train", name)


# ---- the contract, held by every system of this half -----------------------------------------------------

STEPS = dict(steps=8, batch=16)
SMALL = dict(wen=dict(steps=20), **{
    "mind-video": dict(width=32, modelling=STEPS, tuning=STEPS), "neuroclips": dict(hidden=32, training=STEPS),
    "neurons": dict(hidden=32, training=STEPS), "mind-animator": dict(hidden=32, width=32, training=STEPS)})


def small(name):
    cls = SYSTEMS[name]
    return cls(cls.sizes["miniature"].replace(**SMALL.get(name, {})))


@pytest.fixture(scope="module", params=[*SMALL, *CONTROLS])
def fitted(request, film):
    return small(request.param).fit(film, 1, seed=3), request.param


def arrays_of(given): return list(vars(given).values()) if isinstance(given, Decoded) else [given]


def test_what_is_kept_is_what_was_learned(fitted, film, tmp_path):
    system, name = fitted
    x, ids = mean_repeats(film.fmri(1, "test")), film.clip_ids("test")
    save_system(system, tmp_path)
    again = load_system(tmp_path)
    assert type(again) is SYSTEMS[name] and again.config == system.config
    for a, b in zip(arrays_of(system.decode(x, ids, 5)), arrays_of(again.decode(x, ids, 5))):
        assert np.array_equal(a, b) and np.isfinite(a).all() and len(a) == len(x)


def test_a_clip_does_not_depend_on_its_neighbours(fitted, film):
    system, _ = fitted
    x, ids = mean_repeats(film.fmri(1, "test")), film.clip_ids("test")
    whole = arrays_of(system.decode(x, ids, 5))
    part = arrays_of(system.decode(x[[6, 2]], [ids[6], ids[2]], 5))
    for a, b in zip(whole, part):
        assert np.abs(a[[6, 2]].astype(float)-b).max() <= (1 if a.dtype == np.uint8 else 1e-3*np.abs(a).max())


def test_the_same_seed_learns_the_same(fitted, film):
    system, name = fitted
    again = small(name).fit(film, 1, seed=3)
    assert all(np.array_equal(v, again.arrays[k]) for k, v in system.arrays.items())


def test_a_file_of_another_version_is_refused(film, tmp_path, monkeypatch):
    save_system(small("mean").fit(film, 1), tmp_path)
    monkeypatch.setattr(SYSTEMS["mean"], "version", 99)
    with pytest.raises(SemvideoError, match="another version"): load_system(tmp_path)


def test_learning_never_opens_the_test_split(film, monkeypatch):
    "With the test split unreadable, every system of this half is fitted as before."
    from semvideo.study import Study
    for what in ("frames", "fmri"):
        before = getattr(Study, what)
        def guarded(self, *words, before=before):
            assert "test" not in words, words
            return before(self, *words)
        monkeypatch.setattr(Study, what, guarded)
    for name in [*SMALL, *CONTROLS]: small(name).fit(film, 1)
    with pytest.raises(AssertionError): film.frames("test") # the guard guards


# ---- core formulas against plain references --------------------------------------------------------------

def test_contrasts_against_loops():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 7, generator=g), torch.randn(5, 7, generator=g)
    share, other = torch.rand(5, 1, generator=g), torch.tensor([1, 0, 4, 2, 3])
    unit = lambda v: v/v.norm()
    logit = [[float(unit(a[i]) @ unit(b[j]))/.1 for j in range(5)] for i in range(5)]
    nll = lambda row, j: math.log(sum(map(math.exp, row)))-row[j]
    column = lambda j: [logit[i][j] for i in range(5)]
    plain = np.mean([nll(logit[i], i)+nll(column(i), i) for i in range(5)])/2
    assert abs(info_nce(a, b, .1).item()-plain) < 1e-4
    there = np.mean([share[i].item()*nll(logit[i], i)+(1-share[i].item())*nll(logit[i], other[i]) for i in range(5)])
    back = 0.
    for i in range(5): # row i belongs to target i by its share and to target other[i] by the rest
        back += (share[i].item()*nll(column(i), i)+(1-share[i].item())*nll(column(int(other[i])), i))/5
    assert abs(mixco_loss(a, b, share, other, .1).item()-(there+back)/2) < 1e-4


def test_the_nearest_against_correlation():
    rng = np.random.default_rng(0)
    pred, known = rng.normal(size=(6, 30)), rng.normal(size=(11, 30))
    mean = known.mean(0)
    cosine = lambda a, b: a @ b/np.linalg.norm(a)/np.linalg.norm(b)
    by_hand = [int(np.argmax([cosine(p-mean, k-mean) for k in known])) for p in pred]
    assert best_match(pred, known).tolist() == by_hand


def test_neurons_choice_against_a_sum_of_logs():
    from semvideo.neurons import choose_sentence
    rng = np.random.default_rng(1)
    described, logits = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 5))*3
    known, there = rng.normal(size=(6, 2, 3)), rng.integers(2, size=(6, 5)).astype(float)
    best = []
    for d, z in zip(described, logits):
        score = []
        for k, words in zip(known, there):
            p = 1/(1+np.exp(-z))
            fits = sum(math.log(q if w else 1-q) for q, w in zip(p, words))/5
            score.append(d.ravel() @ k.ravel()/np.linalg.norm(d)/np.linalg.norm(k)+fits)
        best.append(int(np.argmax(score)))
    assert choose_sentence(described, logits, known, there).tolist() == best


def test_the_next_frame_is_unrolled_from_the_decoded_first():
    from semvideo.mind_animator import MindAnimatorConfig, NextFrame
    torch.manual_seed(0)
    shapes = PAPER_SHAPES.replace(n_voxels=10, frames=(4, 32, 32, 3), latent=(4, 4, 4))
    net = NextFrame(shapes, MindAnimatorConfig(hidden=8, width=16)).eval()
    x, first = torch.randn(2, 10), torch.randn(2, 4, 4, 4)
    with torch.no_grad():
        film = net.unroll(x, first)
        step = net(x, film[:, :2]) # what follows two frames
    assert film.shape == (2, 4, 4, 4, 4) and torch.allclose(film[:, 0], first, atol=1e-5)
    assert torch.allclose(step[:, 1], film[:, 2], atol=1e-5)


def test_masked_modelling_counts_hidden_patches_alone():
    from semvideo.mind_video import BrainModel, MindVideoConfig
    torch.manual_seed(0)
    net = BrainModel(32, MindVideoConfig(patch=4, width=16, heads=2)).eval()
    seen = []
    net.embed.register_forward_hook(lambda module, given, out: seen.append(given[0].shape))
    torch.nn.init.zeros_(net.out.weight)
    torch.nn.init.zeros_(net.out.bias)
    x = torch.arange(8.).repeat_interleave(4)[None].repeat(3, 1) # patch k holds k
    torch.manual_seed(5)
    lost = torch.rand(3, 8).argsort(1)[:, 2:].float()
    torch.manual_seed(5)
    assert abs(net.loss(x).item()-lost.square().mean().item()) < 1e-5


def test_wen_reads_words_that_are_there(film):
    system = small("wen").fit(film, 1)
    words, meant = system.classes(mean_repeats(film.fmri(1, "train")))
    said = film.captions("train").holistic.str.split()
    right = np.array([[w in s for w in words] for s in said])
    assert len(words) > 5 and meant[right].mean() > meant[~right].mean()+.1


def test_systems_are_of_this_house_and_import_nothing_of_others():
    for name in PAPERS:
        source = inspect.getsource(inspect.getmodule(SYSTEMS[name]))
        assert "subprocess" not in source and "torch.hub" not in source and "from_pretrained" not in source, name
