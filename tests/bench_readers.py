"""decord against PyAV at a film's own size: one pass over many clips, and clips here and there.

    python tests/bench_readers.py [--clips FOLDER] [--out tests/results/bench_readers.json]

Milliseconds, the least of five. `one pass` is all clips of 2 s, eight frames each; `here and there` is the mean of 20 random clips with the film kept open (decord) or opened for each (PyAV); `index` is what opening costs before the first.
"""
import argparse, datetime, json, os, sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from semvideo import by_number, video

FILMS = ('tears_of_steel', 'big_buck_bunny', 'bottles')

def least(f, n=5):
    took = []
    for _ in range(n):
        start = time.perf_counter()
        f()
        took.append(time.perf_counter() - start)
    return round(1000*min(took), 1)

def measure(film, threads):
    import decord
    seconds, half, _ = by_number._exact_times(film)
    end = float(seconds[-1])
    in_order, scattered = np.arange(0, end - 2, 2.), np.random.default_rng(0).uniform(0, end - 2.1, 20)
    numbers = lambda starts: np.searchsorted(seconds, video.sample_times(starts, 2, 8).ravel() + half, 'right') - 1
    opened = lambda: decord.VideoReader(str(film), num_threads=threads)
    def clear():
        by_number._kept_open.cache_clear()
        video.read_clip(film, 0, 1, 1, threads=threads, reader='decord')
    clear()
    def here_and_there(reader):
        for s in scattered: video.read_clip(film, s, 2, 8, threads=threads, reader=reader)
    return {
        'film': film.stem, 'threads': threads, 'frames': len(seconds),
        'one pass, PyAV': least(lambda: video.read_clips(film, in_order, 2, 8, threads=threads)),
        'one pass, decord': least(lambda: opened().get_batch(numbers(in_order)).asnumpy()),
        'here and there, PyAV': round(least(lambda: here_and_there('pyav'))/20, 1),
        'here and there, decord': round(least(lambda: here_and_there('decord'))/20, 1),
        'index': least(clear)}

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--clips', type=Path, default=Path(os.environ.get('SEMVIDEO_CLIPS', '../shared/clips')))
    ap.add_argument('--out', type=Path, default=Path(__file__).parent/'results/bench_readers.json')
    a = ap.parse_args()
    import av, decord
    rows = [measure(a.clips/f'{name}.mp4', threads) for name in FILMS for threads in (1, 2)]
    about = dict(date=str(datetime.date.today()), cores=os.cpu_count(), av=av.__version__, decord=decord.__version__)
    a.out.write_text(json.dumps(dict(about, rows=rows), indent=1) + '\n')
    for r in rows: print(*r.values(), sep=' | ')

if __name__ == '__main__': main()
