"""What the tiny bundle makes of true conditions: `python tests/tiny_exam.py [--bundle FOLDER] [--clips 480]`.

True captions' text states and true motion latents of clips of unseen seeds go through the renderer; the bundle's own
judges say whether kind, colour and direction are right, in the clip and in every frame. Prints one JSON object; for the
shipped bundle `--ceilings --fast > tests/results/tiny_exam.json` is what notebook 318 shows.
"""
import argparse, json, platform, time
import numpy as np, torch
from bench_data import commit
from semvideo.bundle import PictureCode, TextEncoder, bundle_path, to_model
from semvideo.core import Decoded, rng_for, torch_generator
from semvideo.cvr import CVR
from semvideo.simulate import COLOURS, DIRECTIONS, KINDS, MOTIONS, captions_of, random_clip
from semvideo.tiny import TIMES, as_decoded, unsure_text
from transformers import ViTForImageClassification, VideoMAEForVideoClassification # after semvideo, which mends torchvision

def clips_of(n, seed=0):
    "n clips without a cut, of seeds that nothing was trained on."
    rng = rng_for('bundle', 'true-conditions', seed)
    return [random_clip(rng, 0.) for _ in range(n)]

def conditions(bundle, clips, device='cpu', unsure=False):
    """True conditions of clips, as the renderer gets them, and the true frames; or such as an unsure decoder might
    give in their place."""
    frames = np.stack([c.frames(TIMES) for c in clips])
    code,words = PictureCode(bundle, device),TextEncoder(bundle, device)
    z = code.encode(frames.reshape(-1, *frames.shape[2:])).half().float().numpy()
    captions = [captions_of(c) for c in clips]
    states = {level: words([c[level] for c in captions]).numpy() for level in ('anchor', 'motion', 'holistic')}
    z = z.reshape(*frames.shape[:2], *z.shape[1:])
    if unsure:
        g = torch_generator('bundle', 'unsure')
        z = as_decoded(torch.as_tensor(z).transpose(1, 2), g).transpose(1, 2).numpy()
        states = {level: unsure_text(torch.as_tensor(v), g).numpy() for level,v in states.items()}
    return Decoded(**states, latents=z), frames

class Judges:
    "The bundle's two classifiers."
    def __init__(self, bundle, device='cpu'):
        self.device,folder = device,bundle_path(bundle)
        self.vit = ViTForImageClassification.from_pretrained(folder/'image_classifier').eval().to(device)
        self.mae = VideoMAEForVideoClassification.from_pretrained(folder/'video_classifier').eval().to(device)
    @torch.no_grad()
    def frames(self, x): # uint8 (N,F,H,W,3)
        "Logits of each frame (N,F,64)."
        flat = x.reshape(-1, *x.shape[2:])
        out = [self.vit(to_model(flat[i:i+256]).to(self.device)).logits.cpu() for i in range(0, len(flat), 256)]
        return torch.cat(out).view(*x.shape[:2], -1)
    @torch.no_grad()
    def video(self, x):
        "Logits of each clip (N,104)."
        return torch.cat([self.mae(to_model(x[i:i+64]).to(self.device)).logits.cpu() for i in range(0, len(x), 64)])

def answers(judges, x): # uint8 (N,F,H,W,3)
    "Kind and colour of the clip and of each frame, and direction among the eight ways."
    z = judges.frames(x)
    def halves(z):
        p = z.softmax(-1).unflatten(-1, (len(KINDS), len(COLOURS)))
        return p.sum(-1).argmax(-1).numpy(), p.sum(-2).argmax(-1).numpy()
    way = judges.video(x).softmax(-1).view(len(x), len(KINDS), len(MOTIONS)).sum(1)[:,:len(DIRECTIONS)].argmax(-1)
    (kind,colour),(kinds,colours) = halves(z.mean(1)),halves(z)
    return dict(kind=kind, colour=colour, way=way.numpy(), kinds=kinds, colours=colours)

def change(x, device='cpu'): # uint8 (N,F,H,W,3)
    "Mean absolute change between frames of each clip."
    return np.concatenate([block.diff(dim=1).abs().float().mean((1, 2, 3, 4)).cpu().numpy()
                           for block in (torch.as_tensor(x[i:i+120]).to(device).short() for i in range(0, len(x), 120))])

def marks(judges, x, frames, clips):
    "Share of right answers, held against the script; flicker relative to the truth's."
    a,shots = answers(judges, x),[c.shots[0] for c in clips]
    kind = np.array([KINDS.index(s.kind) for s in shots])
    colour = np.array([list(COLOURS).index(s.colour) for s in shots])
    moves = np.array([s.motion in DIRECTIONS for s in shots])
    way = np.array([DIRECTIONS.index(s.motion) if s.motion in DIRECTIONS else -1 for s in shots])
    right = ((a['kinds'] == kind[:,None]) & (a['colours'] == colour[:,None]))
    same = ((a['kinds'] == a['kinds'][:,:1]) & (a['colours'] == a['colours'][:,:1])).all(1)
    mine,true = change(x, judges.device),change(frames, judges.device)
    d = dict(kind=(a['kind'] == kind).mean(), colour=(a['colour'] == colour).mean(),
             direction=(a['way'] == way)[moves].mean(), flicker=mine.mean()/true.mean(),
             flicker_moving=mine[moves].mean()/true[moves].mean(), keeps=same.mean(), right_in_every_frame=right.all(1).mean(),
             frame=right.mean())
    return {k: round(float(v), 4) for k,v in d.items()}

def exam(bundle='tiny', n=480, seed=0, device='cpu', **settings):
    "The marks of a bundle on true conditions."
    clips = clips_of(n, seed)
    decoded,frames = conditions(bundle, clips, device)
    cvr = CVR(bundle, device=device, dtype=torch.float32, motion_gain=1., **settings)
    x = cvr.render(decoded, batch=24 if device == 'cpu' else 240)
    return marks(Judges(bundle, device), x, frames, clips)

def ceilings(bundle='tiny', n=480, seed=0, device='cpu'):
    "The marks of the truth itself, and of what the picture code makes of it."
    clips = clips_of(n, seed)
    decoded,frames = conditions(bundle, clips, device)
    z = torch.as_tensor(decoded.latents)
    coded = PictureCode(bundle, device).decode(z.flatten(0, 1)).reshape(frames.shape)
    judges = Judges(bundle, device)
    return dict(truth=marks(judges, frames, frames, clips), picture_code=marks(judges, coded, frames, clips))

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--bundle', default='tiny')
    p.add_argument('--clips', type=int, default=480)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--ceilings', action='store_true')
    p.add_argument('--fast', action='store_true', help='the student, too')
    p.add_argument('--set', nargs='*', default=[], help='further fields of RenderConfig, such as video_strength=.6')
    a = p.parse_args()
    start = time.time()
    more = {k: json.loads(v) for k,v in (s.split('=') for s in a.set)}
    out = dict(exam=exam(a.bundle, a.clips, a.seed, a.device, **more))
    if a.fast: out['fast'] = exam(a.bundle, a.clips, a.seed, a.device, mode='fast', **more)
    if a.ceilings: out.update(ceilings(a.bundle, a.clips, a.seed, a.device))
    facts = dict(clips=a.clips, seed=a.seed, seconds=round(time.time()-start, 1), date=time.strftime('%Y-%m-%d'), commit=commit(),
                 machine=f'{platform.machine()}, 2 shared cores' if a.device == 'cpu' else torch.cuda.get_device_name())
    print(json.dumps(out | facts, indent=1))
