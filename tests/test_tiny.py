"""310_tiny_picture, 312_tiny_text, 314_tiny_judges, 316_tiny_generator, 317_tiny_fast, 318_tiny: parts are trained
anew, from what is drawn alike."""
import pytest
from semvideo import bundle

FEW = dict(vae_decoder=dict(steps=2, batch=4, n_pairs=16), image_classifier=dict(steps=2, batch=4, n_pictures=16),
           unet=dict(steps=2, batch=4), motion_adapter=dict(steps=2, batch=2),
           fast=dict(steps=(2, 2), batch=(4, 2)), latent_pool=dict(n_clips=16))

def parts_of(folder):
    "{part: its weights' bytes}, and the history of each."
    from semvideo.core import read_json
    return {p.parent.name: p.read_bytes() for p in folder.rglob('*.safetensors')}, read_json(folder/'history.json')

def test_parts_are_trained_anew_and_the_rest_is_kept(tmp_path):
    import json
    from semvideo.tiny import train_anew
    out = train_anew(tmp_path/'new', list(FEW)[:5], settings=FEW, workers=1, minutes=5)
    (old,past),(new,history) = parts_of(bundle.bundle_path('tiny')),parts_of(out)
    assert {part for part in new if old.get(part) != new[part]} == {'vae', 'image_classifier', 'unet', 'motion_adapter', 'fast_lora', 'fast_adapter'}
    assert {part for part in history if past.get(part) != history[part]} == {*list(FEW)[:4], 'fast_lora', 'fast_adapter'}
    assert not list(out.glob('*.history.json')) and bundle.folder_mb(out) < 25
    for file in out.rglob('config.json'): assert '_name_or_path' not in json.loads(file.read_text()), file
    assert bundle.load_part(out, 'unet').config.cross_attention_dim == 64

def test_the_decoder_alone_moves_so_latents_stay(tmp_path):
    import numpy as np
    from semvideo.tiny import picture_batch, train_anew
    out = train_anew(tmp_path/'new', ['vae_decoder'], settings=FEW, workers=1, minutes=5)
    x = picture_batch(4, 'test-latents')[0]
    old,new = bundle.PictureCode('tiny'),bundle.PictureCode(out)
    z = old.encode(x)
    assert np.array_equal(new.encode(x), z) and not np.array_equal(new.decode(z), old.decode(z))

@pytest.mark.long
def test_what_is_drawn_does_not_depend_on_the_processes():
    from functools import partial
    from semvideo import tiny_generator as G, tiny_judges as J
    from semvideo.tiny import draw_ahead
    for block in (partial(G._clips, 0), partial(J._pictures, 1)):
        one,two = ([x for x,_ in draw_ahead(block, 40, n)] for n in (1, 2))
        assert [len(a) for a in one] == [16, 16, 8] and all((a == b).all() for a,b in zip(one, two, strict=True))

@pytest.mark.parametrize('share', [0., .3, 1.])
def test_mixed_noise_has_unit_variance_and_frames_as_alike_as_asked(share):
    import torch
    from semvideo.core import torch_generator
    from semvideo.tiny import mixed_noise
    g = torch_generator('test', 'mixed')
    e = mixed_noise(torch.randn(200, 4, 8, 8, 8, generator=g), torch.randn(200, 4, 1, 8, 8, generator=g), share)
    assert abs(float(e.var())-1) < .02 and abs(float((e[:,:,0]*e[:,:,5]).mean())-share) < .02

def test_what_is_learned_from_an_unsure_start_is_the_clean_clip():
    "Whatever the made-up decoder did, signal and velocity of the training pair lead back to the clip."
    import torch
    from semvideo import tiny_generator as G
    from semvideo.core import torch_generator
    g,sched = torch_generator('test', 'noised'),G.new_scheduler()
    z = torch.randn(64, 4, 8, 8, 8, generator=g)
    x,t,v = G.noised_latents(sched, z, g)
    signal,noise = G.signal_and_noise(sched, t)
    assert torch.allclose(signal*x - noise*v, z, atol=1e-4)
    assert int(t.max()) > G._HIGHEST and int(t.min()) < 50
    spread = ((x - signal*z)/noise).flatten(1).std(1)
    assert spread.max() > 1.1 and spread.min() < 1.02 # some starts are unsure, some are not

def test_a_trainer_ends_with_its_time():
    import time, torch
    from semvideo.tiny import train_loop
    w,start = torch.nn.Parameter(torch.ones(1)),time.monotonic()
    history = train_loop('short', lambda i: (w.square().sum(),), [w], 10**7, .1, minutes=.02)
    assert time.monotonic()-start < 20 and 25 <= history[-1]['step'] < 10**7 and abs(float(w.detach())) < .1

def test_a_student_of_a_teacher_that_knows_the_answer_learns_it():
    "Networks of one number a frame: the teacher knows the clean latents, the student has to find out."
    import torch
    from semvideo.core import torch_generator
    from semvideo.tiny import new_scheduler, train_loop
    from semvideo.tiny_fast import consistency_loss
    from semvideo.tiny_generator import signal_and_noise
    g,sched,truth = torch_generator('test', 'student'),new_scheduler(),torch.tensor([.7, -.4, 1.2, -1.1]).view(1, 4, 1, 1, 1)
    text = torch.zeros(16, 77, 64)
    def velocity_to(clean):
        def net(x, t, h):
            signal,noise = signal_and_noise(sched, t)
            return (signal*x - clean)/noise
        return net
    guess = torch.nn.Parameter(torch.zeros(1, 4, 1, 1, 1))
    loss = lambda clean: consistency_loss(velocity_to(truth), velocity_to(clean), sched, truth.expand(16, 4, 2, 8, 8), text, text[:1], g, 2.)
    train_loop('student', lambda i: (loss(guess),), [guess], 400, .05)
    assert float((guess-truth).detach().abs().max()) < .05
    assert float(loss(guess).detach()) < .1*float(loss(torch.zeros_like(truth)))
