"""How often a map says what is not so, and whether it finds what is: agreement on a finished demo study.

    python tests/map_rates.py DEMO [--out tests/results/map_rates.json]

Vertices of areas that answer to nothing are read from the runs and kept in. Four questions: which parcels are significant at each level, by role; where motion and anchor differ; how often a read-out that learned from other clips has a significant parcel (100 draws, each against the others); how often areas of
noise have one under the study's own decoder (100 draws of noise with the spectrum of theirs). And in V1: are the voxels planted with motion above its others at the level of motion?
"""
import argparse, datetime, json, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from semvideo.agreement import (agreement, agreement_matrix, carried, carried_table, Carried, difference_table,
                                family_p, far_apart, null_readouts, parcel_products, turned_in_time)
from semvideo.core import Decoded, Study, read_json, read_npy
from semvideo.map_nulls import auc

LEVELS, ROLES = ('anchor', 'motion', 'holistic', 'latents'), ('early', 'motion', 'meaning', 'none')

def all_vertices(demo, subject):
    "(fMRI (N,V) of the test clips, table of vertices with role): empty ones too, straight from the runs."
    from semvideo.cc2017 import cc2017_segments
    from semvideo.segments import PrepareConfig, clean_series, open_subject
    segments = [s for s in cc2017_segments(demo/'miniature', (subject,)) if s.split == 'test'][:1]
    runs, _ = open_subject(segments, subject, PrepareConfig())
    truth = pd.read_csv(demo/f'miniature/truth/subject{subject}_vertices.csv')
    gray = next(iter(runs.values())).gray
    column = {key: i for i, key in enumerate(zip(gray.hemisphere, gray.vertex))}
    rows = [column[h, v] for h, v in zip(truth.hemisphere, truth.vertex)]
    x = np.mean([clean_series(segments[0], r, PrepareConfig())[0][rows] for r in runs.values()], 0)
    return x.T, truth

def planted_in_v1(demo, subject, truth):
    "Which vertices of V1 were planted with motion, and which without: two bool (V,)."
    from semvideo.brain import MiniatureConfig, tuning
    config = MiniatureConfig.from_dict(read_json(demo/'miniature/truth/miniature.json')['config'])
    motion = np.abs(tuning(truth, subject, config)['motion']).sum(0) > 0
    return (truth.parcel == 'V1').to_numpy() & motion, (truth.parcel == 'V1').to_numpy() & ~motion

def noise_like(x, rng):
    "Noise with the spectrum of each column."
    spectrum = np.fft.rfft(x, axis=0)
    return np.fft.irfft(spectrum*np.exp(2j*np.pi*rng.random(spectrum.shape)), len(x), axis=0)

def haufe_of_null(study, subject, x, filled, level, draws=20):
    "AUC of planted above empty vertices in Haufe maps of read-outs that learned from other clips, mean over draws."
    from semvideo.agreement import _readout, other_pairing
    from semvideo.importance import haufe
    train, target = (read_npy(study.path/f'targets/{split}/{level}.npy') for split in ('train', 'test'))
    y = train.reshape(len(train), -1) - train.reshape(len(train), -1).mean(0)
    r = _readout(study.fmri(subject, 'train'), study.fmri(subject, 'test'), train, target, 1.)
    segments = study.select('train').segment.to_numpy()
    pairs = [other_pairing(segments, np.random.default_rng(k)) for k in range(draws)]
    return round(float(np.mean([auc(haufe(x, r.hat @ y[p]), filled) for p in pairs])), 3)

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('demo', type=Path)
    ap.add_argument('--subject', type=int, default=1)
    ap.add_argument('--draws', type=int, default=199)
    ap.add_argument('--out', type=Path, default=Path(__file__).parent/'results/map_rates.json')
    a = ap.parse_args()
    study, s = Study(a.demo), a.subject
    x, truth = all_vertices(a.demo, s)
    role = truth.groupby('parcel').role.first()
    clips = study.select('test')
    segments, train_segments = clips.segment.to_numpy(), study.select('train').segment.to_numpy()
    far = far_apart(segments, clips.onset_s)
    parcels = parcel_products(x, truth, far)
    decoded, out, levels = Decoded.load(a.demo/f'decode/sub-{s}/test.safetensors'), {}, {}
    moving, still = planted_in_v1(a.demo, s, truth)
    for level in LEVELS:
        target, train = (read_npy(a.demo/f'targets/{split}/{level}.npy') for split in ('test', 'train'))
        y = getattr(decoded, level)
        m = agreement_matrix(y, target)
        readouts = null_readouts(study.fmri(s, 'train'), study.fmri(s, 'test'), train, target, train_segments, a.draws)
        levels[level] = c = carried(parcels, m, readouts, segments, a.draws)
        t, values = carried_table(c), agreement(x, y, target, far)
        by = t.parcel.map(role)
        wrong = [(family_p(c.decoders[k], np.delete(c.decoders, k, 0)) <= .05).any() for k in range(100)]
        empty = (truth.role == 'none').to_numpy()
        turned, false = list(turned_in_time(m, segments, 99)), []
        for k in range(100):
            p = parcel_products(noise_like(x[:, empty], np.random.default_rng(k)), truth[empty], far)
            q = Carried(p, p.means(m), c.decoders[:, [i for i, n in enumerate(parcels.names) if role[n[0]] == 'none']],
                        np.stack([p.means(z) for z in turned]))
            false.append((carried_table(q).p <= .05).any())
        out[level] = dict(
            haufe_auc_of_null_decoders=haufe_of_null(study, s, x, ~empty, level),
            significant={r: f'{int((t.p[by == r] <= .05).sum())} of {int((by == r).sum())}' for r in ROLES},
            auc_against_empty={r: round(auc(values[(truth.role == r) | empty], (truth.role == r)[(truth.role == r) | empty].to_numpy()), 3) for r in ROLES[:3]},
            false_with_null_decoders=float(np.mean(wrong)), false_with_noise=float(np.mean(false)),
            v1_motion_auc=round(auc(values[moving | still], moving[moving | still]), 3), v1=[int(moving.sum()), int(still.sum())])
        print(level, out[level])
    d = difference_table(levels['motion'], levels['anchor'])
    by = d.parcel.map(role)
    out['motion minus anchor'] = {
        r: dict(of=int((by == r).sum()), motion=int(((d.p <= .05) & (d['mean'] > 0))[by == r].sum()),
                anchor=int(((d.p <= .05) & (d['mean'] < 0))[by == r].sum())) for r in ROLES}
    print(out['motion minus anchor'])
    about = dict(date=str(datetime.date.today()), subject=s, draws=a.draws)
    a.out.write_text(json.dumps(about | out, indent=1) + '\n')

if __name__ == '__main__': main()
