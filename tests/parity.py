"""Parity: the field's own scoring functions beside ours, on the same arrays and networks.

    python tests/parity.py --checkouts DIR [--out tests/results/parity.csv] [--clips 8]

DIR holds clones of MindVideo, NEURONS and MindAnimator, whichever there are; none is shipped, nothing of them is
copied, and only functions are taken out of their files (their scripts read paths of their authors' machines).
Networks are the field's classes at toy size with random weights and the hub's processors; precision is single.
Where a checkout is absent its column says so. The other column compares with the definition (what
`tests/test_parity.py` writes out), done here with the libraries it names.
"""
import argparse, ast, contextlib, itertools, os, subprocess, sys, tempfile, types, zipfile
os.environ.setdefault('HF_HUB_OFFLINE', '1')
from pathlib import Path
import numpy as np, pandas as pd, torch

sys.path.insert(0, str(Path(__file__).parent))
from semvideo import metrics as M
from semvideo.core import ensure_torchvision
from test_parity import noisy, sampler, smooth, vifi_features

SEED,CLASSES = 0,53 # 50 beside the truth's three: 49 of them leave one out, and all ways are few

def commit(folder):
    "First digits of a checkout's commit, or 'no commit'."
    run = subprocess.run(['git', '-C', str(folder), 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True)
    return run.stdout.strip() or 'no commit'

def functions_of(source, names, **known):
    "Functions and classes out of a script, without running the script."
    tree = ast.parse(source)
    keep = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name in names]
    for n in keep: n.decorator_list = []
    space = types.SimpleNamespace(**known).__dict__
    exec(compile(ast.Module(keep, []), 'peer', 'exec'), space)
    return types.SimpleNamespace(**{n: space[n] for n in names if n in space})

def single_precision():
    "torch, whose float16 is float32."
    proxy = types.ModuleType('torch')
    proxy.__dict__.update({k: getattr(torch, k) for k in dir(torch) if not k.startswith('__')}, float16=torch.float32)
    return proxy

@contextlib.contextmanager
def every_distractor():
    """np.random.choice gives each alternative once, in turn, or all but each: the average over as many trials as there
    are alternatives is then the expectation."""
    plain,turns = np.random.choice,{}
    def choice(rest, n, replace=False):
        one = next(turns.setdefault((tuple(rest), n), itertools.cycle(rest)))
        assert n in (1, len(rest)-1), (n, len(rest))
        return np.array([one] if n == 1 else [k for k in rest if k != one])
    np.random.choice = choice
    try: yield
    finally: np.random.choice = plain

class Given:
    "Answers from_pretrained with what it was given."
    def __init__(self, make): self.make = make
    def from_pretrained(self, *a, **kw): return self.make(kw)

def classify(source, name, kind, folder, recon, truth, n_way):
    "A peer's n-way metric, run whole on our toy networks: exact expectation, one value a clip or frame."
    import transformers as T
    from typing import Callable, List, Optional, Union
    part = f'{kind}_classifier'
    cls = T.ViTForImageClassification if kind == 'image' else T.VideoMAEForVideoClassification
    load = lambda kw: cls.from_pretrained(folder/part, **{k: v for k,v in kw.items() if k == 'num_frames'})
    processor = Given(lambda kw: T.AutoImageProcessor.from_pretrained(folder/part))
    peer = functions_of(source, ['n_way_top_k_acc', name], np=np, torch=single_precision(), Optional=Optional,
                        Callable=Callable, List=List, Union=Union, tqdm=lambda x, **k: x, device=torch.device('cpu'),
                        ViTImageProcessor=processor, VideoMAEImageProcessor=processor, ViTForImageClassification=Given(load),
                        VideoMAEForVideoClassification=Given(load), processor=processor.make({}), model=load({}).eval())
    kw = dict(num_frames=truth.shape[1]) if kind == 'video' else {}
    with every_distractor(), torch.no_grad():
        return np.array(getattr(peer, name)(recon, truth, n_way=n_way, num_trials=CLASSES-3, device='cpu', **kw))

# ---- one function a source: {metric: (peer's value a clip, ours)} -------------------------------------------

def grid_halves(recon, truth):
    "(recon, truth) as the sources read them: written and cut by imageio and NumPy."
    import imageio.v3 as iio
    height,width = truth.shape[2:4]
    grids = np.zeros((*truth.shape[:2], height+4, 2*width+6, 3), np.uint8)
    grids[:, :, 2:-2, 2:width+2],grids[:, :, 2:-2, width+4:-2] = truth,recon
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for g in grids:
            iio.imwrite(Path(folder)/'g.gif', g, duration=333, loop=0)
            out.append(np.split(iio.imread(Path(folder)/'g.gif', index=None), 2, axis=2))
    return np.stack([p for _,p in out]), np.stack([t for t,_ in out])

def own_gif(recon):
    "Reconstructions after a GIF of their own, by imageio."
    import imageio.v3 as iio
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for c in recon:
            iio.imwrite(Path(folder)/'g.gif', c, duration=250, loop=0)
            out.append(iio.imread(Path(folder)/'g.gif', index=None))
    return np.stack(out)

def ours(source, models, recon, truth, **kw):
    "Our values a clip: {metric: (B,)}, the source's definitions by default paths."
    e = M.evaluate(recon, truth, source, models, chance=False, **kw)
    return {m: g.value.to_numpy() for m,g in e.groupby('metric', sort=False)}

def frames_mean(fn, recon, truth): return np.array([np.mean([fn(a, b) for a,b in zip(x, y)]) for x,y in zip(recon, truth)])

def mind_video(checkout, judges, models, recon, truth):
    mine = ours('MinD-Video', models, recon, truth)
    r,t = grid_halves(recon, truth)
    from skimage.metrics import structural_similarity as ssim
    means = dict(SSIM=frames_mean(lambda a,b: ssim(a, b, data_range=255, channel_axis=-1), r, t))
    means |= n_way_definition(models, r, t)
    theirs = {}
    if checkout:
        source = (checkout/'src/MindVideo/utils/eval_metrics.py').read_text()
        peer = functions_of(source, ['ssim_metric'], ssim=ssim)
        theirs = dict(SSIM=frames_mean(peer.ssim_metric, r, t)) | n_way_peer(source, judges, r, t)
    return mine, theirs, means

def n_way_frames(source, judges, r, t):
    "2-way-I and 50-way-I of a peer's function: the mean over frames of each clip."
    flat = lambda x: x.reshape(-1, *x.shape[2:])
    ask = lambda n: classify(source, 'img_classify_metric', 'image', judges, flat(r), flat(t), n)
    return {f'{n}-way-I': ask(n).reshape(r.shape[:2]).mean(1) for n in (2, 50)}

def n_way_clips(source, judges, r, t):
    "2-way-V and 50-way-V of a peer's function."
    return {f'{n}-way-V': classify(source, 'video_classify_metric', 'video', judges, r, t, n) for n in (2, 50)}

def n_way_peer(source, judges, r, t): return n_way_frames(source, judges, r, t) | n_way_clips(source, judges, r, t)

def n_way_definition(models, r, t):
    "One by one: share of other classes, and of sets of all others but one, that the best of the truth's three beats."
    def one(p, q):
        top = np.argsort(q)[-3:]
        best,rest = p[top].max(),np.delete(p, top)
        return (best > rest).mean(), np.mean([best > np.delete(rest, k).max() for k in range(len(rest))])
    image = np.array([[one(a, b) for a,b in zip(x, y)] for x,y in zip(models.image_logits(r), models.image_logits(t))]).mean(1)
    clips = np.array([one(a, b) for a,b in zip(*(models.video_logits(x, r.shape[1]) for x in (r, t)))])
    return {f'{n}-way-{k}': v[:, i] for i,n in enumerate((2, 50)) for k,v in (('I', image), ('V', clips))}

def neurons(checkout, judges, models, recon, truth):
    mine = ours('NEURONS', models, recon, truth)
    r,t = grid_halves(recon, truth)
    from skimage.color import rgb2gray
    from skimage.metrics import peak_signal_noise_ratio as psnr, structural_similarity as ssim
    lines = dict(channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.)
    means = dict(SSIM=frames_mean(lambda a,b: ssim(rgb2gray(a), rgb2gray(b), **lines), r, t),
                 PSNR=frames_mean(lambda a,b: psnr(b, a, data_range=255), r, t)) | n_way_definition(models, r, t)
    f = models.clip_image(r, 'clip_large').astype(float)
    f /= np.linalg.norm(f, axis=-1, keepdims=True)
    s = np.einsum('bfd,bgd->bfg', f, f)
    i,j = np.triu_indices(r.shape[1], 1)
    means['CLIP-pcc'] = s[:, i, j].mean(1)
    theirs = {}
    if checkout:
        import transformers as T
        from typing import Optional
        from sklearn.metrics.pairwise import cosine_similarity
        source = (checkout/'eval_metrics.py').read_text()
        peer = functions_of(source, ['ssim_metric', 'psnr_metric'], ssim=ssim, psnr=psnr, rgb2gray=rgb2gray)
        theirs = dict(SSIM=frames_mean(peer.ssim_metric, r, t), PSNR=frames_mean(peer.psnr_metric, r, t))
        theirs |= n_way_peer(source, judges, r, t)
        class Model:
            "CLIPModel of today, whose features are a tensor as they were."
            def __init__(self): self.net = T.CLIPModel.from_pretrained(judges/'clip_large').eval()
            def to(self, device): return self
            def get_image_features(self, **kw):
                out = self.net.get_image_features(**kw)
                return out if hasattr(out, 'detach') else out.pooler_output
        peer = functions_of(source, ['clip_score_frame'], np=np, torch=torch, Optional=Optional, cosine_similarity=cosine_similarity,
                            CLIPModel=Given(lambda kw: Model()),
                            AutoProcessor=Given(lambda kw: T.AutoImageProcessor.from_pretrained(judges/'clip_large')))
        theirs['CLIP-pcc'] = np.array([peer.clip_score_frame([list(c)], 'cpu')[0] for c in r])
    return mine, theirs, means

def mind_animator(checkout, judges, models, recon, truth):
    import cv2, math
    from skimage.metrics import structural_similarity as SSIM
    mine = ours('Mind-Animator', models, recon, truth, epe_size=recon.shape[2])
    own = own_gif(recon)
    r,t = grid_halves(recon, truth)
    refit = lambda x: np.stack([[cv2.resize(np.ascontiguousarray(f), recon.shape[2:4][::-1]) for f in c] for c in x])
    rr,tt = refit(r),refit(t)
    def hue(a, b):
        x,y = (cv2.cvtColor(np.ascontiguousarray(v), cv2.COLOR_BGR2HSV)[..., 0]/360. for v in (a, b))
        return (x*y).sum()/np.sqrt((x**2).sum()*(y**2).sum())
    def flows(c):
        g = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_BGR2GRAY) for f in c]
        return np.array([cv2.calcOpticalFlowFarneback(a, b, None, .5, 3, 15, 3, 5, 1.2, 0) for a,b in zip(g, g[1:])])
    means = dict(SSIM=frames_mean(lambda a,b: SSIM(a, b, data_range=255, channel_axis=-1), own, truth),
                 PSNR=frames_mean(lambda a,b: 10*np.log10(255**2/((a/1.-b/1.)**2).mean()), own, truth))
    means['Hue-pcc'] = frames_mean(hue, r[:, :6], t[:, :6])
    means['EPE'] = np.array([np.linalg.norm(flows(b)-flows(a), axis=-1).mean() for a,b in zip(own, tt)])
    frames,films = n_way_definition(models, own, truth),n_way_definition(models, rr, tt)
    means |= {m: (frames if m.endswith('I') else films)[m] for m in frames}
    tower = models.nets['vifi'][0]
    seen = lambda x: tower(pixel_values=x).image_embeds
    pairs = [[vifi_features(seen, c) for c in x] for x in (r, t)]
    means['VIFI-score'] = np.array([float(a @ b) for a,b in zip(*pairs)])
    f = models.clip_image(own).astype(float)
    f /= np.linalg.norm(f, axis=-1, keepdims=True)
    means['CLIP-pcc'] = (f[:, 1:]*f[:, :-1]).sum(-1).mean(1)*(means['VIFI-score'] > .6)
    theirs = {}
    if checkout:
        at = checkout/'Evaluation_Metrics'
        read = lambda name: (at/name).read_text()
        epe = functions_of(read('EPE.py'), ['compute_epe', 'compute_ae', 'compute_optical_flow', 'calculate_epe_ae'], np=np, cv2=cv2, tqdm=lambda x: x)
        psnr = functions_of(read('PSNR.py'), ['psnr'], numpy=np, np=np, math=math).psnr
        ssim = functions_of(read('SSIM.py'), ['ssim_metric'], SSIM=SSIM).ssim_metric
        hues = functions_of(read('hue_pcc.py'), ['calculate_hue_similarity'], np=np, cv2=cv2).calculate_hue_similarity
        theirs = dict(SSIM=frames_mean(ssim, own, truth), PSNR=frames_mean(psnr, own, truth))
        theirs['Hue-pcc'] = frames_mean(lambda a,b: hues(np.ascontiguousarray(a), np.ascontiguousarray(b)), r[:, :6], t[:, :6])
        theirs['EPE'] = np.array(epe.calculate_epe_ae(tt, own)[0])
        theirs |= n_way_frames(read('img_classification.py'), judges, own, truth)
        theirs |= n_way_clips(read('video_classification.py'), judges, rr, tt)
        theirs['CLIP-pcc'] = np.ravel(clip_pcc_peer(read('CLIP_consist.py'), judges, own, mine['VIFI-score']))
    return mine, theirs, means

def clip_pcc_peer(source, judges, recon, vifi):
    "Mind-Animator's smoothness, gated by our VIFI, on the CLIP of the judges."
    import transformers as T
    from PIL import Image
    processor,net = T.AutoImageProcessor.from_pretrained(judges/'clip'),T.CLIPModel.from_pretrained(judges/'clip').eval()
    def encode(pixels):
        out = net.get_image_features(pixel_values=pixels)
        return out if hasattr(out, 'detach') else out.pooler_output
    pcc = functions_of(source, ['cal_CLIP_pcc'], np=np, torch=torch, Image=Image, device='cpu', model=types.SimpleNamespace(encode_image=encode),
                       preprocess=lambda image: processor(images=image, return_tensors='pt')['pixel_values'][0]).cal_CLIP_pcc
    with torch.no_grad(): return pcc(recon, vifi, .6)

def vifi_frames(checkout):
    "How often each frame counts, 1 to 40 frames: largest difference from the source's sampler and from its rule."
    ours = [M.sampled_weights(n) for n in range(1, 41)]
    rule = max(abs(a-np.bincount(sampler(n), minlength=n)).max() for n,a in enumerate(ours, 1))
    if not checkout: return None, rule
    with zipfile.ZipFile(checkout/'Evaluation_Metrics/ViFi_CLIP.zip') as z:
        file = next(n for n in z.namelist() if n.endswith('datasets/pipeline.py'))
        source = z.read(file).decode()
    known = np.__dict__|dict(int=int, bool=bool, float=float) # names that NumPy has dropped
    peer = functions_of(source, ['SampleFrames'], np=types.SimpleNamespace(**known), warnings=__import__('warnings'))
    worst = 0
    for n,a in enumerate(ours, 1):
        got = peer.SampleFrames(clip_len=8, frame_interval=1, num_clips=16, test_mode=True)(dict(total_frames=n, start_index=0))
        worst = max(worst, abs(a-np.bincount(np.asarray(got['frame_inds']).ravel(), minlength=n)).max())
    return worst, rule

def louder(folder, cls, times=8):
    "Larger weights: a fresh network says nearly the same of every picture, and any two definitions would agree."
    net = cls.from_pretrained(folder)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1: p *= times
    net.save_pretrained(folder)

def certificate(checkouts, out, clips=8):
    "A row a source and metric: largest difference a clip from the checkout's function and from the definition."
    import transformers as T
    ensure_torchvision()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        judges = M.random_judges(Path(folder)/'judges', SEED, size=32, frames=16)
        for part,cls in (('image_classifier', T.ViTForImageClassification), ('video_classifier', T.VideoMAEForVideoClassification)):
            config = T.AutoConfig.from_pretrained(judges/part, num_labels=CLASSES)
            cls(config).save_pretrained(judges/part)
            louder(judges/part, cls)
        T.CLIPModel.from_pretrained(judges/'clip').save_pretrained(judges/'clip_large')
        square = dict(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32))
        T.ViTImageProcessor(size=dict(height=32, width=32), resample=2).save_pretrained(judges/'image_classifier')
        T.VideoMAEImageProcessor(**square, resample=2).save_pretrained(judges/'video_classifier')
        for part in ('clip', 'clip_large'): T.CLIPImageProcessor(**square, resample=3).save_pretrained(judges/part)
        tower = T.CLIPVisionModelWithProjection(T.CLIPVisionConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=256,
                                                                   image_size=224, patch_size=16, projection_dim=24))
        tower.save_pretrained(judges/'vifi_tower')
        louder(judges/'vifi_tower', T.CLIPVisionModelWithProjection)
        models = M.load_models(judges, vifi=judges/'vifi_tower')
        for name,repo,fn,frames,size in (('MinD-Video', 'MindVideo', mind_video, 6, 256), ('NEURONS', 'NEURONS', neurons, 6, 256),
                                         ('Mind-Animator', 'MindAnimator', mind_animator, 8, 512)):
            checkout = checkouts/repo if checkouts and (checkouts/repo).is_dir() else None
            truth = smooth(clips, frames, size, size, SEED)
            mine,theirs,means = fn(checkout, judges, models, noisy(np.roll(truth, 1, 0), 30), truth)
            for metric in means:
                gap = lambda other: float(abs(mine[metric]-other[metric]).max()) if metric in other else np.nan
                rows.append(dict(source=name, checkout=commit(checkout) if checkout else 'absent', metric=metric, clips=clips,
                                 frames=frames, size=size, ours=float(mine[metric].mean()), from_checkout=gap(theirs), from_definition=gap(means)))
            pd.DataFrame(rows).to_csv(out, index=False) # what is done is kept
        checkout = checkouts/'MindAnimator' if checkouts and (checkouts/'MindAnimator').is_dir() else None
        peer,rule = vifi_frames(checkout)
        rows.append(dict(source='Mind-Animator', checkout=commit(checkout) if checkout else 'absent', metric='VIFI-score, frames sampled', clips=40,
                         from_checkout=np.nan if peer is None else float(peer), from_definition=float(rule)))
    return pd.DataFrame(rows)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--checkouts', type=Path, default=None)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results/parity.csv')
    parser.add_argument('--clips', type=int, default=8)
    a = parser.parse_args()
    if a.checkouts is None: print('no checkouts given: compared with definitions only')
    table = certificate(a.checkouts, a.out, a.clips)
    print(table.to_string(index=False))
    table.to_csv(a.out, index=False)
