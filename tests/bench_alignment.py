"""How well a new subject is decoded with 0 to 32 minutes of own data, on both brains.

    python tests/bench_alignment.py [--dir FOLDER] [--out tests/results/bench_alignment.json] [--runs nonlinear:0 nonlinear:1 linear:0]

Four subjects, four training segments, one test segment; subject 4 is left out. Identification and R2 of the
holistic states of the test segment, and the paired difference to the permuted null with its interval over blocks of time.
"""
import argparse, datetime, json, subprocess, sys, tempfile
from pathlib import Path
import numpy as np
sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

SHARE = dict(linear=.1, nonlinear=.05)  # about 600 vertices each
NEW = 4

def make(folder, brain, seed):
    "A study of four."
    from semvideo import simulate
    from semvideo.bundle import TextEncoder
    from semvideo.core import Study
    from semvideo.targets import text_targets
    path = Path(folder)/f'curve_{brain}_{seed}'
    if not (path/'targets/test/holistic.npy').exists():
        cfg = simulate.miniature_config(brain, n_subjects=4, seed=seed, n_train=4, n_test=1, test_repeats=4,
                                        share=SHARE[brain])
        study, encoder = simulate.scan_study(path, cfg), TextEncoder('tiny')
        for split in study.splits: text_targets(study, split, encoder)
    return Study(path)

def above_null(study):
    "Identification without own data, above that of the permuted null: difference and interval."
    import torch
    from semvideo.alignment import decode_new_subject
    from semvideo.intervals import compare, time_blocks
    from semvideo.targets import target
    from semvideo.train import own_above_others
    train = np.asarray(target(study, 'train', 'holistic'), np.float32)
    scaled = lambda y: torch.as_tensor((np.asarray(y, np.float32) - train.mean(0))/(train.std(0) + .01))
    true = scaled(target(study, 'test', 'holistic'))
    got, null = (own_above_others(scaled(decode_new_subject(study, NEW, method=m)), true).numpy()
                 for m in ('anatomical', 'permuted'))
    c = compare(got, null, time_blocks(study.select('test')))
    return [round(c[k], 3) for k in ('difference', 'low', 'high')]

def main():
    from semvideo.alignment import new_subject_curve
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--dir', type=Path, default=None)
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results/bench_alignment.json')
    p.add_argument('--runs', nargs='+', default=['nonlinear:0', 'nonlinear:1', 'linear:0'], metavar='BRAIN:SEED')
    a = p.parse_args()
    folder = a.dir or tempfile.mkdtemp()
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True)
    result = dict(commit=commit.stdout.strip(), date=str(datetime.date.today()), rows=[])
    for run in a.runs:
        brain, seed = run.split(':')
        study = make(folder, brain, int(seed))
        curve = new_subject_curve(study, NEW, (0, 5, 10, 20, 32)).round(4).to_dict('records')
        row = dict(brain=brain, seed=int(seed), curve=curve, without_own_data_above_permuted=above_null(study))
        result['rows'].append(row)
        print(json.dumps(row), flush=True)
        a.out.write_text(json.dumps(result, indent=1) + '\n')

if __name__ == '__main__': main()
