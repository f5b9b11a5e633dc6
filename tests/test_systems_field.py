"371 to 379: core formulas against plain references; films read from a planted cortex, and not from shuffled pairs."
import numpy as np
import pytest
import torch

from semvideo.bundle import PictureCode, TextEncoder, bundle_config
from semvideo.cineneuron import Cineneuron, recall
from semvideo.core import SemvideoError
from semvideo.cvgan import Critic, CvganConfig, FCvgan2022, critic_loss
from semvideo.kupershmidt import FilmDecoder, Kupershmidt2022, KupershmidtConfig, film_loss, single_rows, train_by_epochs
from semvideo.nishimoto import (Nishimoto2011, NishimotoConfig, delayed, log_likelihoods, grating_energy,
                                motion_pyramid, posterior_weights)
from semvideo.simulate import miniature_config, scan_study, scripted_films
from semvideo.systems import SYSTEMS, Examples, Shapes, load_system, save_system
from semvideo.targets import latent_targets, target, text_targets
from semvideo.validate import own_above_others
from semvideo.vcflow import STREAMS, TwoStreams, Vcflow, VcflowConfig, same_clip_loss

NAMES = "nishimoto", "kupershmidt", "f-cvgan", "vcflow", "cineneuron"
TIMES = np.arange(8)/4 + .125


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "Two people before one segment of the scripted cinema, and a test segment."
    cfg = miniature_config("nonlinear", n_subjects=2, n_train=1, n_test=1, test_repeats=6, share=.05, seed=4)
    s = scan_study(tmp_path_factory.mktemp("field")/"study", cfg)
    films = scripted_films(cfg)
    for split in s.splits:
        names = s.select(split).segment.unique()
        frames = np.stack([clip.frames(TIMES) for name in names for clip in films[name]])
        with s.new_npy(f"frames/{split}.npy", frames.shape, np.uint8) as out: out[:] = frames
        text_targets(s, split, TextEncoder("tiny"))
    latent_targets(s, "train", PictureCode("tiny"), bundle_config("tiny"))
    return s


@pytest.fixture(scope="module")
def seen(study): return np.nanmean(study.fmri(1, "test"), 1)


class Shuffled(Examples):
    "Training clips whose films and words belong to other brains."
    def __init__(self, *args):
        super().__init__(*args)
        self.other = np.random.default_rng(0).permutation(len(self.rows))
    @property
    def frames(self): return np.asarray(self.study.frames(self.split)[self.rows])[self.other]
    def target(self, name): return super().target(name)[self.other]


def layout(videos):
    side = videos.shape[2]//8
    cells = np.asarray(videos, np.float32).mean(1).reshape(len(videos), 8, side, 8, side, 3)
    return cells.mean((2, 4)).reshape(len(videos), -1)


def placed(study, read):
    "Share of other test clips whose layout is less like what was read."
    mean = layout(np.asarray(study.frames("train"))).mean(0)
    unit = lambda v: (v - mean)/np.maximum(np.linalg.norm(v - mean, axis=1, keepdims=True), 1e-9)
    likeness = unit(layout(read))@unit(layout(np.asarray(study.frames("test")))).T
    return (likeness < np.diag(likeness)[:, None]).sum(1).mean()/(len(read) - 1)


def named(study, read):
    "The same of the holistic state."
    train = np.asarray(target(study, "train", "holistic"), np.float32)
    scale = lambda y: torch.as_tensor((np.asarray(y, np.float32) - train.mean(0))/(train.std(0) + .01)).flatten(1)
    return own_above_others(scale(read.holistic), scale(target(study, "test", "holistic"))).mean().item()


SMALL = {"nishimoto": Nishimoto2011(NishimotoConfig(voxels=100)),
         "kupershmidt": Kupershmidt2022(KupershmidtConfig(side=16, width=16, encoder_epochs=3, decoder_epochs=6)),
         "f-cvgan": FCvgan2022(CvganConfig(side=16, width=16, epochs=6)),
         "vcflow": Vcflow(VcflowConfig(epochs=30)), "cineneuron": Cineneuron()}


def fitted(name, examples):
    if name == "nishimoto": pytest.importorskip("moten", reason="pymoten is an extra")
    system = type(SMALL[name])(SMALL[name].config)
    system.learn(examples, 0)
    return system


def score(study, read): return placed(study, read) if isinstance(read, np.ndarray) else named(study, read)


@pytest.mark.long
@pytest.mark.parametrize("name,least", list(zip(NAMES, (.6, .65, .65, .6, .8))))
def test_it_reads_and_shuffled_pairs_teach_nothing(name, least, study, seen, tmp_path):
    "With films given to other brains, each system falls to chance: the check fails on what is broken."
    system = fitted(name, Examples(study, 1))
    read = system.decode(seen, study.clip_ids("test"))
    other = fitted(name, Shuffled(study, 1)).decode(seen, study.clip_ids("test"))
    own, other = score(study, read), score(study, other)
    assert own > least and abs(other - .5) < .12 and own > other + .1
    save_system(system, tmp_path)
    again = load_system(tmp_path).decode(seen[:2], study.clip_ids("test")[:2])
    first = lambda r: r[:2] if isinstance(r, np.ndarray) else r[:2].holistic
    np.testing.assert_allclose(first(again), first(read), atol=1e-4)
    assert np.array_equal(first(fitted(name, Examples(study, 1)).decode(seen, study.clip_ids("test"))), first(read))


@pytest.mark.parametrize("name", NAMES)
def test_paper_size_on_the_meta_device(name):
    with torch.device("meta"):
        nets = SYSTEMS[name]("paper").networks(Shapes())
    assert all(p.device.type == "meta" for net in nets.values() for p in net.parameters())
    assert bool(nets) == (name not in ("nishimoto", "cineneuron"))


def test_energy_is_that_of_a_quadrature_pair_by_hand():
    "pymoten's response of one filter, from its own two spatial and two temporal profiles, written out."
    moten = pytest.importorskip("moten.core", reason="pymoten is an extra")
    rng, bank = np.random.default_rng(0), motion_pyramid(32, 4)
    frames = rng.integers(256, size=(1, 8, 32, 32, 3), dtype=np.uint8)
    light = frames[0].mean(-1, dtype=np.float32)/255
    film = np.concatenate([light[:1].repeat(4, 0), light, light[-1:].repeat(4, 0)])
    for i in (5, 100, 300):
        sin, cos, tsin, tcos = moten.mk_3d_gabor((32, 32), **bank.filters[i])
        s, c = film.reshape(16, -1)@sin.ravel(), film.reshape(16, -1)@cos.ravel()
        half = -(-len(tsin)//2) - 1
        lag = lambda v, w: np.array([sum(w[j]*v[t + half - j] for j in range(len(w)) if 0 <= t + half - j < 16)
                                     for t in range(16)])
        energy = np.sqrt((lag(s, tcos) + lag(c, tsin))**2 + (lag(c, tcos) - lag(s, tsin))**2)
        mine, told = grating_energy(frames, 4)[0, i], np.log(energy[4:12] + 1e-5).mean()
        assert abs(mine - told) < .01, i


def test_bayes_by_hand():
    rng = np.random.default_rng(1)
    x, y, p = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), np.diag([1., 2, 3, 4])
    plain = np.array([[-.5*sum(p[v, v]*(a[v] - b[v])**2 for v in range(4)) for b in y] for a in x])
    np.testing.assert_allclose(log_likelihoods(x, y, p), plain, atol=1e-9)
    for row, weights in zip(plain, posterior_weights(plain, 2, 2.)):
        best = sorted(range(6), key=lambda i: -row[i])[:2]
        w = {i: np.exp(row[i]/2) for i in best}
        np.testing.assert_allclose(weights, [w.get(i, 0)/sum(w.values()) for i in range(6)], atol=1e-9)


def test_delays_stop_at_the_ends_of_a_segment():
    x = np.arange(10.)[:, None] + 1
    out = delayed(x, ["a"]*5 + ["b"]*5, (0, 1, 2))
    assert out[5, 1] == 0 and out[6].tolist() == [7, 6, 0] and out[4].tolist() == [5, 4, 3]


def test_without_pymoten_it_says_what_to_do(monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "moten.pyramids", None)
    motion_pyramid.cache_clear()
    with pytest.raises(SemvideoError, match="needs pymoten"): motion_pyramid(16, 4)


def test_repeats_that_are_missing_are_left_out():
    x = np.zeros((3, 2, 4), np.float32)
    x[1, 0] = np.nan
    assert single_rows(x, np.zeros(4), np.ones(4)).shape == (5, 4)


@pytest.mark.long
def test_the_cycles_train_what_has_no_pair(study):
    "A decoder that saw no pair at all, only films through a fixed encoder, draws films from what it encodes."
    from semvideo.kupershmidt import FilmEncoder, small_films
    torch.manual_seed(0)
    films = small_films(np.asarray(study.frames("train")[:64]), 16)
    encoder, decoder = FilmEncoder(200, 8, 16, 8).requires_grad_(False), FilmDecoder(200, 8, 16, 8, 0.)
    before = film_loss(decoder(encoder(films)), films).item()
    train_by_epochs(list(decoder.parameters()), lambda r: film_loss(decoder(encoder(films[r])), films[r]), 64, 16, 12,
                1e-3, 0., torch.Generator().manual_seed(0))
    assert film_loss(decoder(encoder(films)), films).item() < .8*before


def test_critics_tell_films_by_their_brain():
    "Trained on two kinds of film for two kinds of brain, a critic scores the right pairs above the wrong ones."
    torch.manual_seed(0)
    kind = torch.arange(40) % 2
    films = (kind[:, None, None, None, None]*.8).expand(40, 3, 4, 16, 16) + .1*torch.rand(40, 3, 4, 16, 16)
    brains = torch.nn.functional.one_hot(kind, 2).float()*3
    critic = Critic(2, 16, 8)
    loss = lambda r: critic_loss(critic(films[r], brains[r]), critic(films[r], brains[r].flip(1)))
    train_by_epochs(list(critic.parameters()), loss, 40, 8, 60, 3e-3, 0., torch.Generator().manual_seed(0))
    critic.eval()
    right, wrong = critic(films, brains).mean(), critic(films, brains.flip(1)).mean()
    assert right > wrong + .5


def test_streams_read_only_their_areas():
    net = TwoStreams(dict.fromkeys(STREAMS, 3), dict(motion=2, holistic=2)).eval()
    x = torch.randn(1, 9)
    early = x.clone()
    early[:, :3] += 1
    assert torch.equal(net(x)[0]["motion"], net(early)[0]["motion"])
    assert not torch.equal(net(x)[0]["holistic"], net(early)[0]["holistic"])
    a, b = torch.nn.functional.normalize(torch.randn(2, 5, 4), dim=2)
    rows = [[np.exp(float(i@j)/.1) for j in b] for i in a]
    plain = -np.mean([np.log(rows[i][i]/sum(rows[i])) + np.log(rows[i][i]/sum(r[i] for r in rows)) for i in range(5)])/2
    assert abs(same_clip_loss(a, b).item() - plain) < 1e-4


def test_the_new_persons_films_are_not_read(study):
    "Own fMRI turned to noise changes what is decoded only by its scale."
    class Noise(Examples):
        def of(self, subject): return Examples(self.study, subject)
        @property
        def fmri(self):
            shape = Examples(self.study, self.subject).fmri.shape
            return np.random.default_rng(0).normal(size=shape).astype(np.float32)
    one, other = (fitted("vcflow", e(study, 1)).arrays for e in (Examples, Noise))
    assert all(np.array_equal(one[k], other[k]) for k in one if k.startswith("streams/"))
    assert not np.allclose(one["area_std"], other["area_std"])


def test_memory_by_hand():
    rng = np.random.default_rng(2)
    q, m = rng.normal(size=(3, 5)), rng.normal(size=(7, 5))
    weights = recall(dict(a=q), dict(a=m), 3, .2)
    for i in range(3):
        cosine = [q[i]@v/np.linalg.norm(q[i])/np.linalg.norm(v) for v in m]
        best = sorted(range(7), key=lambda j: -cosine[j])[:3]
        total = sum(np.exp(cosine[j]/.2) for j in best)
        np.testing.assert_allclose(weights[i], [np.exp(cosine[j]/.2)/total if j in best else 0 for j in range(7)], atol=1e-9)
