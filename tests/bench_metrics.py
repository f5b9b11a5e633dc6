"""How fast and how exact scoring is: writes tests/results/bench_metrics.json.

    python tests/bench_metrics.py [--out FILE] [--clips 240] [--full 2]

Every section prints what it measured and the bound the project set itself. `seconds` is wall clock and means little on a busy machine (`load_average` says how busy); `cpu_seconds` counts this process's own work
over all its threads, so it is about the wall clock of one idle core, and it is what `ok` compares with the bound. The result file is written after every section.
"""
import argparse, datetime, json, os, platform, subprocess, sys, time
from pathlib import Path
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from semvideo import metrics as M, stats as S
from semvideo.core import write_json

def best(fn, n=3):
    "(CPU seconds, result) of the cheapest of n runs; the wall clock of the last is in `WALL`."
    global WALL
    out = []
    for _ in range(n):
        w,t = time.perf_counter(),time.process_time()
        r = fn()
        out.append(time.process_time()-t)
        WALL = time.perf_counter()-w
    return min(out), r

def plain_n_way(pred, true, n_way, trials=100, seed=0):
    "The field's procedure, one item at a time."
    rng = np.random.default_rng(seed); out = []
    for p,t in zip(pred, true):
        labels = np.argsort(t)[-3:]
        rest = [k for k in np.arange(len(p)) if k not in labels]
        ok = 0
        for _ in range(trials):
            d = rng.choice(rest, n_way-1, replace=False)
            for g in labels:
                if 0 in np.argsort(np.r_[p[g], p[d]])[-1:]:
                    ok += 1
                    break
        out.append(ok/trials)
    return np.array(out)

def n_way():
    r = np.random.default_rng(0)
    N = 1200*6
    true = r.normal(size=(N, 1000))
    pred = true*.3+r.normal(size=(N, 1000))
    k = 40
    sec = {n: best(lambda: M.n_way_accuracy(pred, true, n))[0] for n in (2, 50)}
    plain = {n: best(lambda: plain_n_way(pred[:k], true[:k], n), 1) for n in (2, 50)}
    gap = {
        n: float(abs(plain[n][1].mean() - M.n_way_accuracy(pred[:k], true[:k], n).mean()))
        for n in (2, 50)
    }
    return dict(
        items='1200 clips x 6 frames x 1000 classes', cpu_seconds_2_way=sec[2],
        cpu_seconds_50_way=sec[50], bound_seconds=1., ok=max(
            sec.values()) < 1, plain_cpu_seconds_extrapolated={n: plain[n][0]*N/k
                                                               for n in plain},
        times_faster={n: plain[n][0]*N/k/sec[n]
                      for n in plain}, mean_gap_to_100_trials_on_40_items=gap, chance_2_way=float(
                          M.n_way_accuracy(r.normal(size=(20000, 100)), r.normal(size=(20000, 100)),
                                           2).mean()), chance_50_way=float(
                                               M.n_way_accuracy(r.normal(size=(20000, 100)),
                                                                r.normal(size=(20000, 100)),
                                                                50).mean()),
        chance_expected=[.75, 3/52])

def shuffle():
    r = np.random.default_rng(0)
    F = 12
    tabs = [
        dict(epe=r.random((F - 1, F, F)), dot=r.normal(size=(F - 1, F, F)), power=r.random(
            (F, F)) + 1, speed=1.) for _ in range(1000)
    ]
    sec,out = best(lambda: S.shuffle_p(tabs, 100_000), 1)
    return dict(items='1000 clips x 12 frames, 100000 permutations, both statistics', seconds=WALL,
                cpu_seconds=sec, bound_seconds=30., ok=sec < 30, smallest_p=float(out[1:].min()),
                mean_p=float(out[1].mean()))

def discs(n, f=8, size=64, seed=0):
    r = np.random.default_rng(seed)
    yy,xx = np.mgrid[:size, :size]
    out = np.empty((n, f, size, size, 3), np.uint8)
    for i in range(n):
        v,c = r.normal(0, 2, 2),r.integers(0, 256, 3)
        out[i] = r.integers(40, 160, (8, 8, 3), dtype=np.uint8).repeat(size // 8,
                                                                       0).repeat(size // 8, 1)
        for k in range(f):
            out[i, k][(yy-size/2-v[0]*(k-f/2))**2+(xx-size/2-v[1]*(k-f/2))**2 < (size/6)**2] = c
    return out

class Forwards:
    "CPU seconds spent in forward passes of the judges while it is entered."
    def __enter__(self):
        self.cpu,self.old = 0.,M.Models._forward
        def timed(m, *a):
            t = time.process_time()
            try: return self.old(m, *a)
            finally: self.cpu += time.process_time()-t
        M.Models._forward = timed
        return self
    def __exit__(self, *_): M.Models._forward = self.old

def demo(n):
    """A ladder as `semvideo demo` has it: all metrics of the strict profile, the reconstruction and four
    nulls, the tiny judges."""
    t = discs(n)
    r = np.clip(t+np.random.default_rng(1).normal(0, 30, t.shape), 0, 255).astype(np.uint8)
    nulls = S.nulls(r, discs(n, seed=2))
    four = {
        k: nulls[k]
        for k in ('mean video', 'random training clip', 'frozen first frame', 'shuffled fMRI')
    }
    def go():
        m = M.load_models('tiny')
        return S.ladder(r, t, four, models=m)
    with Forwards() as f:
        sec,d = best(go, 1)
        wall = WALL
    inf,_ = best(lambda: S.card(d, 10), 1)
    sh,_ = best(lambda: S.shuffle_test(r, t), 1)
    return dict(
        items=f'{n} clips x 8 frames x 64x64, 5 systems, {d.groupby(["metric", "variant"]).ngroups} '
        f'metric variants', seconds=wall, cpu_seconds=sec, cpu_seconds_in_networks=f.cpu,
        cpu_share_outside=1 - f.cpu/sec, trust_card_cpu_seconds=inf,
        shuffle_test_cpu_seconds_all_40319_orders=sh)

def full(n):
    """The field's networks at full size with random weights: the share of time that is not a forward
    pass."""
    from semvideo.core import ensure_torchvision
    ensure_torchvision()
    import torch, transformers as T
    torch.manual_seed(0)
    half = dict(side=224, mean=(.5,)*3, std=(.5,)*3, crop=True, resample=2)
    m = M.Models({
        'image_classifier': (T.ViTForImageClassification(
            T.ViTConfig(num_labels=1000)), half, 'vit'),
        'video_classifier': (T.VideoMAEForVideoClassification(
            T.VideoMAEConfig(num_frames=6, num_labels=400)), half, 'vmae'),
        'clip': (T.CLIPModel(T.CLIPConfig()), half, 'clip')
    })
    t = discs(n, 6, 256)
    r = np.clip(t+np.random.default_rng(1).normal(0, 30, t.shape), 0, 255).astype(np.uint8)
    out = {}
    for p in ('strict', 'paper'):
        m.cache.d.clear()
        m.flow = M.FlowCache()
        with Forwards() as f: sec,_ = best(lambda: M.evaluate(r, t, p, m), 1)
        nulls = {
            k: v
            for k, v in S.nulls(r, t, seed=1).items()
            if k in ('mean video', 'random training clip', 'frozen first frame', 'shuffled fMRI')
        }
        with Forwards() as g:
            more,_ = best(lambda: [M.evaluate(v, t, p, m, chance=False) for v in nulls.values()], 1)
        out[p] = dict(
            cpu_seconds=sec, cpu_seconds_in_networks=f.cpu, share_outside=1 - f.cpu/sec,
            with_four_nulls=dict(cpu_seconds=sec + more,
                                 share_outside=1 - (f.cpu + g.cpu)/(sec + more)))
    return dict(
        items=f'{n} clips x 6 frames x 256x256; ViT-B/16, VideoMAE-B, CLIP ViT-B/32 with '
        f'random weights, on a CPU', **out, bound_share=.1,
        ok=max(v['share_outside'] for v in out.values()) < .1)

CHILD = """
import sys, threading, time
from semvideo import stats
status = lambda k: int(next(l for l in open('/proc/self/status') if l.startswith(k)).split()[1])/1024
peak = [0., 0.]; stop = threading.Event()
def watch():
    while not stop.is_set(): peak[0] = max(peak[0], status('RssAnon')); peak[1] = max(peak[1], status('VmRSS')); time.sleep(.01)
from semvideo.metrics import load_models
m = load_models(sys.argv[4]) if sys.argv[4] != 'none' else None
stats.score(sys.argv[1], sys.argv[2], sys.argv[3]+'-warm', models=m, block=2); base = status('RssAnon')
threading.Thread(target=watch, daemon=True).start(); stats.score(sys.argv[5], sys.argv[6], sys.argv[3], models=m); stop.set(); print(base, *peak)
"""

def memory(tmp, ns=(100, 1000)):
    """Peak of a process that scores N and 10 N clips: its own memory (anonymous) and all that is
    resident, mapped files included, which the system takes back when it needs to."""
    out = {}
    write = lambda n, k: np.save(
        tmp/f'{k}{n}.npy',
        np.resize(discs(30, 6, seed=k == 'r'),
                  (n, 6, 64, 64, 3)) + np.random.default_rng(n).integers(
                      0, 9, (n, 6, 64, 64, 1), dtype=np.uint8))
    for n in (8, *ns):
        for k in 'rt': write(n, k)
    for judges in ('none', 'tiny'):
        for n in ns:
            r = subprocess.run([
                sys.executable, '-c', CHILD, tmp/'r8.npy', tmp/'t8.npy', tmp/f'out{n}', judges,
                tmp/f'r{n}.npy', tmp/f't{n}.npy'
            ], capture_output=True, text=True, env={
                **os.environ, 'PYTHONPATH': str(ROOT)
            })
            assert r.returncode == 0, r.stderr[-2000:]
            base,anon,rss = map(float, r.stdout.split()[-3:])
            out.setdefault(judges,
                           {})[n] = dict(own_mib_before=base, own_mib_peak=anon,
                                         resident_mib_peak=rss, clips_mib=2*n*6*64*64*3/2**20)
    return dict(
        items='semvideo score of two .npy files, 6 frames x 64x64, with its nulls; flow '
        'and hue fields are kept up to 400 MiB', judges=out, own_growth={
            j: (o[ns[1]]['own_mib_peak'] - o[ns[1]]['own_mib_before'])/
            (o[ns[0]]['own_mib_peak'] - o[ns[0]]['own_mib_before'])
            for j, o in out.items()
        })

def agreement():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity as sk
    t = discs(4)
    r = np.clip(t+np.random.default_rng(1).normal(0, 30, t.shape), 0, 255).astype(np.uint8)
    each = lambda f: np.array([np.mean([f(a, b) for a,b in zip(x, y)]) for x,y in zip(r, t)])
    return dict(
        ssim_paper_vs_scikit_image=float(
            abs(
                M.ssim(r, t, 'paper') -
                each(lambda a, b: sk(b, a, data_range=255, channel_axis=-1))).max()),
        ssim_strict_vs_scikit_image=float(
            abs(
                M.ssim(r, t) -
                each(lambda a, b: sk(b, a, data_range=255, channel_axis=-1, gaussian_weights=True,
                                     sigma=1.5, use_sample_covariance=False))).max()),
        psnr_vs_scikit_image=float(
            abs(M.psnr(r, t) -
                each(lambda a, b: peak_signal_noise_ratio(b, a, data_range=255))).max()))

def main():
    import tempfile
    a = argparse.ArgumentParser()
    a.add_argument('--out', default=ROOT/'tests/results/bench_metrics.json')
    a.add_argument('--clips', type=int, default=240)
    a.add_argument('--full', type=int, default=4)
    a = a.parse_args()
    git = lambda *c: subprocess.run(
        ('git', *c), cwd=ROOT, capture_output=True, text=True).stdout.strip()
    out = dict(
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'), commit=git(
            'rev-parse', 'HEAD'),
        machine=dict(cpus=os.cpu_count(), arch=platform.machine(), python=platform.python_version(),
                     numpy=np.__version__), sections={})
    with tempfile.TemporaryDirectory() as tmp:
        for name, fn in dict(agreement=agreement, n_way=n_way, shuffle=shuffle,
                             demo=lambda: demo(a.clips), memory=lambda: memory(Path(tmp)),
                             full=lambda: full(a.full) if a.full else None).items():
            out['sections'][name] = dict(load_average=os.getloadavg()[0], **(fn() or {}))
            print(name, json.dumps(out['sections'][name]), flush=True)
            write_json(a.out, out)

if __name__ == '__main__': main()
