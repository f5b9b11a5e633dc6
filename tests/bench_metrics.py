"""How fast and how exact scoring is: writes tests/results/bench_metrics.json.

    python tests/bench_metrics.py [--out FILE] [--clips 240] [--full 2]

Every section prints what it measured and the bound the project set itself. `seconds` is wall clock and means little on a busy machine (`load_average` says how busy); `cpu_seconds` counts this process's own work
over all its threads, so it is about the wall clock of one idle core, and it is what `ok` compares with the bound. The result file is written after every section.
"""
import argparse, datetime, itertools, json, os, platform, subprocess, sys, time, tracemalloc
from pathlib import Path
import numpy as np

ROOT = Path(__file__).resolve().parents[1]; sys.path.insert(0, str(ROOT))
from semvideo import metrics as M, stats as S
from semvideo.core import write_json

def best(fn, n=3):
    "(CPU seconds, result) of the cheapest of n runs; the wall clock of the last is in `WALL`."
    global WALL; out = []
    for _ in range(n): w,t = time.perf_counter(),time.process_time(); r = fn(); out.append(time.process_time()-t); WALL = time.perf_counter()-w
    return min(out), r

def plain_n_way(pred, true, n_way, trials=100, seed=0):
    "The field's procedure, one item at a time."
    rng = np.random.default_rng(seed); out = []
    for p,t in zip(pred, true):
        labels = np.argsort(t)[-3:]; rest = [k for k in np.arange(len(p)) if k not in labels]; ok = 0
        for _ in range(trials):
            d = rng.choice(rest, n_way-1, replace=False)
            for g in labels:
                if 0 in np.argsort(np.r_[p[g], p[d]])[-1:]: ok += 1; break
        out.append(ok/trials)
    return np.array(out)

def n_way():
    r = np.random.default_rng(0); N = 1200*6; true = r.normal(size=(N, 1000)); pred = true*.3+r.normal(size=(N, 1000)); k = 40
    sec = {n: best(lambda: M.n_way_accuracy(pred, true, n))[0] for n in (2, 50)}
    plain = {n: best(lambda: plain_n_way(pred[:k], true[:k], n), 1) for n in (2, 50)}
    gap = {n: float(abs(plain[n][1].mean()-M.n_way_accuracy(pred[:k], true[:k], n).mean())) for n in (2, 50)}
    return dict(items='1200 clips x 6 frames x 1000 classes', cpu_seconds_2_way=sec[2], cpu_seconds_50_way=sec[50], bound_seconds=1., ok=max(sec.values()) < 1, plain_cpu_seconds_extrapolated={n: plain[n][0]*N/k for n in plain},
                times_faster={n: plain[n][0]*N/k/sec[n] for n in plain}, mean_gap_to_100_trials_on_40_items=gap, chance_2_way=float(M.n_way_accuracy(r.normal(size=(20000, 100)), r.normal(size=(20000, 100)), 2).mean()),
                chance_50_way=float(M.n_way_accuracy(r.normal(size=(20000, 100)), r.normal(size=(20000, 100)), 50).mean()), chance_expected=[.75, 3/52])

def shuffle():
    r = np.random.default_rng(0); F = 12; tabs = [dict(epe=r.random((F-1, F, F)), dot=r.normal(size=(F-1, F, F)), power=r.random((F, F))+1, speed=1.) for _ in range(1000)]
    sec,out = best(lambda: S.shuffle_p(tabs, 100_000), 1)
    return dict(items='1000 clips x 12 frames, 100000 permutations, both statistics', seconds=WALL, cpu_seconds=sec, bound_seconds=30., ok=sec < 30, smallest_p=float(out[1:].min()), mean_p=float(out[1].mean()))

def discs(n, f=8, size=64, seed=0):
    r = np.random.default_rng(seed); yy,xx = np.mgrid[:size, :size]; out = np.empty((n, f, size, size, 3), np.uint8)
    for i in range(n):
        v,c = r.normal(0, 2, 2),r.integers(0, 256, 3); out[i] = r.integers(40, 160, (8, 8, 3), dtype=np.uint8).repeat(size//8, 0).repeat(size//8, 1)
        for k in range(f): out[i, k][(yy-size/2-v[0]*(k-f/2))**2+(xx-size/2-v[1]*(k-f/2))**2 < (size/6)**2] = c
    return out

def demo(n):
    "What `semvideo demo` evaluates: all metrics of the strict profile, the reconstruction and four nulls, the tiny judges."
    t = discs(n); r = np.clip(t+np.random.default_rng(1).normal(0, 30, t.shape), 0, 255).astype(np.uint8); nulls = S.nulls(r, discs(n, seed=2)); four = {k: nulls[k] for k in ('mean video', 'random training clip', 'frozen first frame', 'shuffled fMRI')}
    def go(): m = M.load_models('tiny'); d = S.ladder(r, t, four, models=m); return m, d
    sec,(m,d) = best(go, 1); wall = WALL; inf,_ = best(lambda: S.card(d, 10), 1)
    sh,_ = best(lambda: S.shuffle_test(r, t), 1)
    return dict(items=f'{n} clips x 8 frames x 64x64, 5 systems, {d.groupby(["metric", "variant"]).ngroups} metric variants', seconds=wall, cpu_seconds=sec, seconds_in_networks=m.seconds, bound_seconds=20., ok=sec < 20, trust_card_cpu_seconds=inf, shuffle_test_cpu_seconds_all_40319_orders=sh)

def full(n):
    "The field's networks at full size with random weights: the share of time that is not a forward pass."
    from semvideo.core import ensure_torchvision
    ensure_torchvision(); import torch, transformers as T
    torch.manual_seed(0); half = dict(side=224, mean=(.5,)*3, std=(.5,)*3, crop=True, resample=2)
    m = M.Models({'image_classifier': (T.ViTForImageClassification(T.ViTConfig(num_labels=1000)), half, 'vit'), 'video_classifier': (T.VideoMAEForVideoClassification(T.VideoMAEConfig(num_frames=6, num_labels=400)), half, 'vmae'),
                  'clip': (T.CLIPModel(T.CLIPConfig()), half, 'clip')})
    t = discs(n, 6, 256); r = np.clip(t+np.random.default_rng(1).normal(0, 30, t.shape), 0, 255).astype(np.uint8); out = {}
    for p in ('strict', 'paper'):
        m.cache.d.clear(); m.flow = M.FlowCache(); m.seconds = 0; sec,_ = best(lambda: M.evaluate(r, t, p, m), 1); out[p] = dict(seconds=WALL, cpu_seconds=sec, seconds_in_networks=m.seconds, share_outside=1-m.seconds/WALL)
    return dict(items=f'{n} clips x 6 frames x 256x256; ViT-B/16, VideoMAE-B, CLIP ViT-B/32', **out, bound_share=.1, ok=max(v['share_outside'] for v in out.values()) < .1)

def memory(tmp):
    out = {}
    for n in (60, 600):
        p = tmp/f'{n}.npy'; a = np.lib.format.open_memmap(p, 'w+', np.uint8, (n, 6, 64, 64, 3)); a[:] = np.resize(discs(20, 6), a.shape); a.flush(); x = np.load(p, mmap_mode='r')
        tracemalloc.start(); M.evaluate(x, x, models=None); out[n] = tracemalloc.get_traced_memory()[1]/2**20; tracemalloc.stop()
    return dict(items='strict profile without networks, clips on disk, 60 and 600 clips', peak_mib=out, growth=out[600]/out[60], flow_cache_budget_mib=400)

def agreement():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity as sk
    t = discs(4); r = np.clip(t+np.random.default_rng(1).normal(0, 30, t.shape), 0, 255).astype(np.uint8); each = lambda f: np.array([np.mean([f(a, b) for a,b in zip(x, y)]) for x,y in zip(r, t)])
    return dict(ssim_paper_vs_scikit_image=float(abs(M.ssim(r, t, 'paper')-each(lambda a,b: sk(b, a, data_range=255, channel_axis=-1))).max()),
                ssim_strict_vs_scikit_image=float(abs(M.ssim(r, t)-each(lambda a,b: sk(b, a, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False))).max()),
                psnr_vs_scikit_image=float(abs(M.psnr(r, t)-each(lambda a,b: peak_signal_noise_ratio(b, a, data_range=255))).max()))

def main():
    import tempfile
    a = argparse.ArgumentParser(); a.add_argument('--out', default=ROOT/'tests/results/bench_metrics.json'); a.add_argument('--clips', type=int, default=240); a.add_argument('--full', type=int, default=2); a = a.parse_args()
    git = lambda *c: subprocess.run(('git', *c), cwd=ROOT, capture_output=True, text=True).stdout.strip()
    out = dict(date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'), commit=git('rev-parse', 'HEAD'), machine=dict(cpus=os.cpu_count(), arch=platform.machine(), python=platform.python_version(), numpy=np.__version__), sections={})
    with tempfile.TemporaryDirectory() as tmp:
        for name,fn in dict(agreement=agreement, n_way=n_way, shuffle=shuffle, demo=lambda: demo(a.clips), memory=lambda: memory(Path(tmp)), full=lambda: full(a.full) if a.full else None).items():
            out['sections'][name] = dict(load_average=os.getloadavg()[0], **(fn() or {})); print(name, json.dumps(out['sections'][name]), flush=True); write_json(a.out, out)

if __name__ == '__main__': main()
