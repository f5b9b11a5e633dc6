"""The main job as a newcomer runs it, twice: time, memory, the same bytes, what came out, and the contact sheet of the docs.

    python tests/bench_demo.py [--out tests/results/demo.json] [--sheet nbs/images/miniature_sheet.png] [--once]

Runs `semvideo demo --seed 0` in new folders, each in a process of its own, and deletes them.
"""
import argparse, datetime, filecmp, json, os, platform, sys, tempfile
from pathlib import Path
import numpy as np, pandas as pd, psutil
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]
from test_demo import command, run_watched
from bench_data import commit, cpu
from semvideo.core import Study, write_json
from semvideo.cvr import load_render

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = ('kind', 'colour', 'direction')

def results(page): # folder of the demo
    """Plain questions of the page: {metric: {system: value, interval, n, and whether ours surely beats
    it}}."""
    t = pd.read_csv(next(page.rglob('results.csv')), keep_default_na=False).set_index('system')
    known = lambda v: round(float(v), 4) if str(v) else None # an interval that the data cannot carry is empty
    row = lambda r: dict(value=known(r.value), low=known(r.low), high=known(r.high), n=int(r.n), chance=float(r.chance), surely_beaten=str(r.beaten) == 'yes')
    def of(part): return {s: row(r) for s, r in part.iterrows()}
    states = t[t.variant.str.contains('text state')]
    return {
        m: of(t[t.metric == m])
        for m in QUESTIONS
    } | {
        f'identification, {v}': of(states[states.variant == v])
        for v in states.variant.unique()
    }

def sheet(folder, path, n=16, frames=4):
    """Truth above, reconstruction below: n clips of the test segment, evenly spaced, some frames of
    each."""
    import cv2
    study = Study(folder)
    x, y = np.asarray(study.frames('test')), load_render(study, 1)
    at = np.linspace(0, len(x)-1, n).round().astype(int)
    f = np.linspace(0, x.shape[1]-1, frames).round().astype(int)
    clip = lambda v, i: np.concatenate(list(v[i, f]), 1)
    tile = lambda i: np.pad(np.concatenate([clip(x, i), clip(y, i)]), ((4, 4), (4, 4),
                                                                       (0, 0)), constant_values=255)
    rows = np.concatenate([np.concatenate([tile(i) for i in at[k:k+2]], 1) for k in range(0, n, 2)])
    cv2.imwrite(str(path),
                cv2.resize(rows, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_NEAREST)[..., ::-1],
                [cv2.IMWRITE_PNG_COMPRESSION, 9])

def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--out', type=Path, default=ROOT/'tests/results/demo.json')
    a.add_argument('--sheet', type=Path, default=ROOT/'nbs/images/miniature_sheet.png')
    a.add_argument('--once', action='store_true')
    a = a.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as tmp:
        pages = [Path(tmp)/f'{i}/demo' for i in range(1 if a.once else 2)]
        for page in pages:
            page.parent.mkdir()
            load = os.getloadavg()[0]
            before = os.times()
            rc, seconds, gib = run_watched([*command(), 'demo', '--out', 'demo', '--seed', '0'],
                                           page.parent, page.parent/'log.txt')
            assert rc == 0, (page.parent/'log.txt').read_text()[-4000:]
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            runs.append(
                dict(seconds=round(seconds, 1), cpu_seconds=round(spent, 1), gib=round(gib, 2),
                     load_before=round(load, 2)))
            print(runs[-1], flush=True)
        same = None if a.once else all(
            filecmp.cmp(next(pages[0].rglob(f)), next(pages[1].rglob(f)), shallow=False)
            for f in ('results.csv', 'clips.csv'))
        out = dict(
            date=str(datetime.date.today()), commit=commit(), machine=dict(
                cores=os.cpu_count(), cpu=cpu(), memory_gb=round(psutil.virtual_memory().total/1e9),
                system=platform.system(), python=platform.python_version(), threads=os.environ.get(
                    'OMP_NUM_THREADS', 'default')), limits=dict(seconds=300, gib=6), runs=runs,
            same_bytes=same, results=results(pages[0]))
        sheet(pages[0], a.sheet)
        write_json(a.out, out)
    print(json.dumps({k: out[k]
                      for k in ('runs', 'same_bytes')}), {
                          m: {
                              s: r['value']
                              for s, r in v.items()
                          }
                          for m, v in out['results'].items()
                      })

if __name__ == '__main__': main()
