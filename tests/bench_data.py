"""Speed and memory of the data rooms at CC2017's real size, as ratios to plain reading in the same run.

    python tests/bench_data.py [--dir FOLDER] [--out tests/results/bench_data.json] [--runs 1.0]

Writes a synthetic subject of 86 runs (245 or 246 x 91,282 float32, 7.7 GB), a small film for each segment and a 480 s movie to FOLDER, measures, and deletes them.
Each measurement runs in a process of its own, so that its peak memory is its own. `--runs 0.1` makes a smaller subject for a quick look.
"""
import argparse, datetime, json, os, platform, shutil, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

PLANTED = 13447  # as many driven vertices as the paper reports for subject 1

def full_axis():
    "91,282 grayordinates: 59,412 cortical vertices, then subcortical voxels."
    from nibabel.cifti2 import BrainModelAxis
    from semvideo import fmri
    with np.load(fmri.data_package()/'fMRI_vertex_info_32k.npz', allow_pickle=False) as z:
        left, right = z['grayl'], z['grayr']
    axis = BrainModelAxis.from_surface(left, 32492, 'CortexLeft') + BrainModelAxis.from_surface(
        right, 32492, 'CortexRight')
    mask = np.zeros((91, 109, 91), bool)
    mask.reshape(-1)[100000:100000 + 91282 - len(axis)] = True
    return axis + BrainModelAxis.from_mask(mask, name='BRAIN_STEM', affine=np.diag([2, 2, 2, 1.]))

def head(axis, volumes, path):
    "Bytes that come before the data of such a file."
    import nibabel as nib
    from nibabel.cifti2 import SeriesAxis
    from semvideo.fmri import open_run
    nib.save(
        nib.Cifti2Image(np.zeros((volumes, len(axis)), np.float32),
                        (SeriesAxis(0, 2., volumes), axis)), path)
    off = open_run(path).offset
    with open(path, 'rb') as f: b = f.read(off)
    Path(path).unlink()
    return b

def make_subject(root, share=1.):
    """36 training and 50 test runs; the film drives PLANTED vertices with a signal of a third of the
    noise."""
    axis = full_axis()
    V = len(axis)
    heads = {n: head(axis, n, root/f'head{n}.dtseries.nii') for n in (245, 246)}
    where = np.random.default_rng(0).permutation(59412)[:PLANTED]
    noise = np.random.default_rng(1).standard_normal(V*246 + 10**7, dtype=np.float32)
    n_runs = 0
    for kind,count,reps in (('seg', max(2, round(18*share)), 2), ('test', max(1, round(5*share)), 10)):
        for k in range(1, count + 1):
            sig = .58*np.random.default_rng([kind == 'seg', k]).standard_normal(
                (PLANTED, 250), dtype=np.float32)
            for r in range(1, reps + 1):
                T = 246 if kind == 'test' and k > 1 else 245
                rng = np.random.default_rng([kind == 'seg', k, r])
                at = int(rng.integers(10**7))
                x = 1000 + 20*noise[at:at + V*T].reshape(V, T)
                x[where] += 20*sig[:, 250 - T:][:, :T] if T == 245 else 20*np.concatenate(
                    [sig[:, :1], sig[:, 5:]], 1)
                p = root/f'subject1/fmri/{kind}{k}/cifti/{kind}{k}_{r}_Atlas.dtseries.nii'
                p.parent.mkdir(parents=True, exist_ok=True)
                with open(p, 'wb') as f:
                    f.write(heads[T])
                    x.tofile(f)
                n_runs += 1
    return n_runs

def make_films(root):
    """A small film for every segment, each different: what is measured here is fMRI, and decoding by
    itself."""
    import tree
    from semvideo import video
    for d in sorted((root/'subject1/fmri').iterdir()):
        video.write_video(root/f'stimuli/{d.name}.mp4',
                          tree.film(480*4,
                                    int(d.name.lstrip('segt')) + 100*d.name.startswith('t')), 4)

def make_movie(path, seconds=480, fps=30, px=256):
    "A textured panning movie with some grain, H.264."
    import av
    rng = np.random.default_rng(0)
    tex = np.kron(rng.integers(12, 243, (40, 160, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    grain = rng.integers(0, 12, (*tex.shape[:2], 1), np.uint8)
    tex = [tex + np.roll(grain, 37*i, 1) for i in range(8)]
    with av.open(str(path), 'w') as box:
        st = box.add_stream('libx264', rate=fps)
        st.height = st.width = px
        st.pix_fmt = 'yuv420p'
        st.options = dict(crf='23', preset='ultrafast', bf='2')
        for i in range(seconds*fps):
            a = (i*2) % (tex[0].shape[1] - px)
            box.mux(
                st.encode(
                    av.VideoFrame.from_ndarray(
                        np.ascontiguousarray(tex[i % 8][100:100 + px, a:a + px]), 'rgb24')))
        box.mux(st.encode())

# ---- what is measured; each runs in a fresh process and prints one line of JSON
def peak_mb():
    return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])/1024

def do_read(root):
    "Plain nibabel: load every file and really copy its data once."
    import nibabel as nib
    files = sorted((root/'subject1').rglob('*.dtseries.nii'))
    t = time.perf_counter()
    for p in files:
        x = np.array(nib.load(p).dataobj, dtype=np.float32)
        del x
    return dict(seconds=time.perf_counter() - t, files=len(files), peak_mb=peak_mb())

def timed(module, names, into, peak):
    """Wrap functions of a module so that the seconds spent in each add up in `into`, and the process's
    peak memory when it ends is in `peak`."""
    for n in names:
        def f(*a, _f=getattr(module, n), _n=n, **k):
            t = time.perf_counter()
            try: return _f(*a, **k)
            finally:
                into[_n], peak[_n] = into.get(_n, 0) + time.perf_counter() - t, peak_mb()
        setattr(module, n, f)

def do_prepare(root):
    """prepare_cc2017 on the whole tree.
    `seconds` is what a subject's fMRI takes (open, reliability, selection and its table, gather,
    write): the part that is compared with reading the runs. Its memory is that of all, 2.2 GB of
    frames included."""
    import pandas as pd
    from semvideo import datasets as D, prepare as P
    out = root/'study'
    shutil.rmtree(out, ignore_errors=True)
    parts, peak, cpu = {}, {}, []
    workers = os.cpu_count()
    def counted(*a, _f=P._finish_subject):
        c = time.process_time()
        _f(*a)
        cpu.append(time.process_time() - c)
    P._finish_subject = counted
    timed(P, ('_save_frames', '_finish_subject', 'open_subject', 'train_correlations',
              'choose_voxels', 'selection_table', '_gather', 'leak_audit'), parts, peak)
    study = D.prepare_cc2017(root, out, (1,), n_frames=8, size=128, workers=workers)
    seconds = parts['_finish_subject']
    audit = pd.read_csv(out/'leak_audit.csv')
    where = np.random.default_rng(0).permutation(59412)[:PLANTED]
    table = study.voxels(1)
    hit = np.isin(table.grayordinate, where)
    kept = pd.read_csv(out/'prepare/selection-1.csv').set_index(['method', 'alpha', 'tail'])
    return dict(
        seconds=seconds, cpu_s=cpu[0], cores_used=cpu[0]/seconds, parts_s=parts, peak_mb=peak_mb(),
        peak_mb_after=peak, workers=workers, segments=len(study.select('train')) // 240,
        voxels=len(table), planted_found=int(hit.sum()), false=int(
            (~hit).sum()), difference_from_published=None if 'difference' not in kept else int(
                kept.difference['bonferroni', .05,
                                'greater']), shape_test=list(study.fmri(1, 'test').shape), audit={
                                    k: int(n)
                                    for k, n in audit.status.value_counts().items()
                                })

def do_select(root):
    "Voxel selection alone: 18 pairs of clean (59412,240) runs in memory to a table."
    from semvideo import fmri
    rng = np.random.default_rng(0)
    a,b = (rng.standard_normal((59412, 240), dtype=np.float32) for _ in range(2))
    t = time.perf_counter()
    r = np.concatenate([
        np.concatenate(
            [fmri.block_correlations(a[i:i + 8192], b[i:i + 8192])
             for i in range(0, 59412, 8192)], 1)
        for _ in range(18)
    ])
    t1 = time.perf_counter()
    d = fmri.select_by_r(r)
    return dict(seconds=time.perf_counter() - t, correlate_s=t1 - t,
                test_s=time.perf_counter() - t1, peak_mb=peak_mb())

def do_decode(root):
    """240 clips of 8 frames at 256 px from one movie, against decoding it and nothing else; eight rounds, alternating, the first not counted.
    `ratio` is that of the best times, which other jobs disturb least, with clips written into an array that is there, as prepare writes into its memory map.
    `ratio_fresh` makes a new array of 377 MB each time: on a virtual machine, memory that was never touched can cost more than the decoding."""
    import av
    from semvideo import video
    buf = np.ones((240, 8, 256, 256, 3), np.uint8)
    def plain():
        with av.open(str(root/'movie.mp4')) as box:
            st = box.streams.video[0]
            st.thread_type = 'AUTO'
            st.codec_context.thread_count = 1
            return sum(1 for _ in box.decode(st))
    def clips(out=buf):
        return video.read_clips(root/'movie.mp4', np.arange(240)*2., 2, 8, out=out, threads=1).shape
    def fresh(): return clips(None)
    wall, cpu, got = ({f.__name__: [] for f in (plain, clips, fresh)} for _ in range(3))
    for k in range(8):
        for f in (plain, clips, fresh):
            t, c = time.perf_counter(), time.process_time()
            got[f.__name__] = f()
            if k:
                wall[f.__name__].append(time.perf_counter() - t)
                cpu[f.__name__].append(time.process_time() - c)
    ratio = lambda d,name,of: float(of(d[name])/of(d['plain']))
    return dict(plain_s=min(wall['plain']), clips_s=min(wall['clips']), fresh_s=min(wall['fresh']),
                ratio=ratio(wall, 'clips', min), ratio_of_medians=ratio(wall, 'clips', np.median),
                ratio_cpu=ratio(cpu, 'clips', min), ratio_fresh=ratio(wall, 'fresh', min), rounds=7,
                frames=got['plain'], shape=list(got['clips']), peak_mb=peak_mb())

def cpu():
    "Name of the processor, without frequency or host."
    try:
        return next(
            l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name'))
    except (OSError, StopIteration): return platform.processor() or None

def child(what, root):
    env = dict(os.environ, OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', SEMVIDEO_QUIET='1')
    out = subprocess.run([sys.executable, __file__, '--child', what, '--dir',
                          str(root)], capture_output=True, text=True, env=env)
    if out.returncode: sys.exit(f'{what} failed:\n{out.stderr}')
    return json.loads(out.stdout.splitlines()[-1])

def commit():
    r = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True,
                       cwd=Path(__file__).parent)
    return r.stdout.strip() or None

def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--dir')
    ap.add_argument('--out', default=str(Path(__file__).parent/'results/bench_data.json'))
    ap.add_argument('--runs', type=float, default=1.)
    ap.add_argument('--child')
    ap.add_argument('--no-movie', action='store_true')
    a = ap.parse_args()
    if a.child:
        print(json.dumps(globals()[f'do_{a.child}'](Path(a.dir))))
        return
    load, root = os.getloadavg()[0], Path(tempfile.mkdtemp(prefix='bench-', dir=a.dir))
    try:
        need = 12e9*a.runs + 1e9
        if shutil.disk_usage(root).free < need:
            sys.exit(f'needs {need/1e9:.0f} GB of free disk')
        decode = dict(ratio=None, ratio_fresh=None)
        if not a.no_movie:
            make_movie(root/'movie.mp4')
            decode = child('decode', root)
        select = child('select', root)
        n = make_subject(root, a.runs)
        make_films(root)
        read1 = child('read', root)
        prep = child('prepare', root)
        read2 = child('read', root)
        read = (read1['seconds'] + read2['seconds'])/2
        res = dict(
            what='synthetic CC2017 subject' + ('' if a.runs == 1 else f', {a.runs:g} of its runs'),
            runs=n, prepare_over_read=prep['seconds']/read, prepare=prep, read_before=read1,
            read_after=read2, selection=select, decode=decode, limits=dict(
                prepare_over_read=3, prepare_peak_mb=1536, selection_s=5,
                decode_ratio=1.2), load_average=dict(before=load, after=os.getloadavg()[0]),
            commit=commit(), date=str(datetime.date.today()), machine=dict(
                cpus=os.cpu_count(), cpu=cpu(), arch=platform.machine(), system=platform.system(),
                memory_gb=round(os.sysconf('SC_PAGE_SIZE')*os.sysconf('SC_PHYS_PAGES')/1e9),
                python=platform.python_version(), numpy=np.__version__))
        res['met'] = dict(prepare_over_read=res['prepare_over_read'] <= 3,
                          prepare_peak_mb=prep['peak_mb'] <= 1536, selection_s=select['seconds']
                          < 5, decode_ratio=None if a.no_movie else decode['ratio'] <= 1.2,
                          decode_ratio_fresh=None if a.no_movie else decode['ratio_fresh'] <= 1.2)
        rounded = json.loads(json.dumps(res), parse_float=lambda s: round(float(s), 3))
        Path(a.out).parent.mkdir(exist_ok=True)
        Path(a.out).write_text(json.dumps(rounded, indent=1) + '\n')
        print(json.dumps(rounded, indent=1))
    finally: shutil.rmtree(root, ignore_errors=True)

if __name__ == '__main__': main()
