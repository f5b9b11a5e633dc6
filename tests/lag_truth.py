"""How near the measured curve of importance against lag comes to that of the noiseless brain, on a demo.

    python tests/lag_truth.py DEMO [--out tests/results/lag_truth.json]

The demo holds the planted signal of every vertex without noise. With it in place of the scans, and the true states in place of the decoded ones, the curve of each group of areas is what must be
found: its peak, and its shape. Per level and group that carries something: the two peaks in seconds, and the correlation of the curves.
"""
import argparse, datetime, json, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from semvideo.brain import volume_times
from semvideo.agreement import agreement_matrix, far_apart
from semvideo.core import Study, read_csv, read_npy
from semvideo.lag_curve import lag_products

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('demo', type=Path)
    ap.add_argument('--subject', type=int, default=1)
    ap.add_argument('--out', type=Path, default=Path(__file__).parent/'results/lag_truth.json')
    a = ap.parse_args()
    study, s = Study(a.demo), a.subject
    clips, voxels = study.select('test'), study.voxels(s)
    segments, onsets = clips.segment.to_numpy(), clips.onset_s.to_numpy()
    vertices = pd.read_csv(a.demo/f'miniature/truth/subject{s}_vertices.csv')
    column = {k: i for i, k in enumerate(zip(vertices.hemisphere, vertices.vertex))}
    at = [column[k] for k in zip(voxels.hemisphere, voxels.vertex)]
    bold = read_npy(a.demo/f'miniature/truth/bold/subject{s}_test1.npy')
    first = int(np.flatnonzero(volume_times(len(bold)) == 5.)[0]) # the volume of the first clip
    bold = bold[first:first + len(clips), at].astype(np.float32)
    rows, far = np.arange(len(clips)), far_apart(segments, onsets)
    products = lag_products(bold, voxels, segments, onsets, rows, far)
    measured, out = read_csv(a.demo/f'explain/sub-{s}/lag.csv'), {}
    for level, name in dict(anchor='anchor', motion='motion', holistic='holistic', latents='motion latents').items():
        target = read_npy(study.path/f'targets/test/{level}.npy')
        expected = products.means(agreement_matrix(target, target))
        for i, group in enumerate(products.groups):
            t = measured[(measured.level == name) & (measured.group == group)]
            peak = t[t.peak].iloc[0]
            if peak.p > .05 or peak.lag_s in (t.lag_s.min(), t.lag_s.max()): continue
            out[f'{name}, {group}'] = dict(
                peak_s=float(peak.lag_s), expected_peak_s=products.seconds[int(expected[i].argmax())],
                correlation=round(float(np.corrcoef(t['mean'], expected[i])[0, 1]), 3))
            print(f'{name}, {group}', out[f'{name}, {group}'])
    about = dict(date=str(datetime.date.today()), subject=s)
    a.out.write_text(json.dumps(about | out, indent=1) + '\n')

if __name__ == '__main__': main()
