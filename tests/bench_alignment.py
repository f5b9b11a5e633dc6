"""How well a new subject is decoded with 0 to 32 minutes of own data, on both brains.

    python tests/bench_alignment.py [--dir FOLDER] [--out tests/results/bench_alignment.json] [--runs nonlinear:0 nonlinear:1 linear:0]

Four subjects, four training segments, one test segment; subject 4 is left out. Identification and R2 of the
holistic states of the test segment, and the paired difference to the permuted null with its interval over blocks of time.

    python tests/bench_alignment.py --rendered [--dir FOLDER] [--out tests/results/new_subject.json] [--seeds 0 1] [--clips N]

What the video shows of subject 4 with 0, 5, 10 and 20 minutes (a fifth of the published vertices, ten test repeats), decoded as `semvideo decode --from-others --refine scenes
--motion films` does and rendered; kind, colour and direction by the judges, beside those who know nothing: a decoder that
learned from permuted scans, the mean of the training films, and the video of another clip's brain. FOLDER keeps studies and
videos, so that a run that was cut goes on.
"""
import argparse, datetime, json, subprocess, sys, tempfile
from pathlib import Path
import numpy as np
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

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

MINUTES = 0, 5, 10, 20
NULLS = 'permuted', 'mean', "another clip's brain"

def whole(folder, seed, **settings):
    "The same four with films, captions and all targets; and the folder of films without a brain."
    from semvideo.core import Study
    from semvideo.demo import data_steps, demo_settings
    path = Path(folder)/f'rendered_{seed}'
    miniature = dict(brain='nonlinear', n_train=4, n_test=1, test_repeats=10, share=.2) | settings # repeats: CC2017's
    demo_settings(path, dict(seed=seed, n_subjects=4, **miniature), False)
    for step in data_steps(path, seed, 4, **miniature).values(): step()
    return Study(path), path/'miniature/other_films'

def decoded_systems(study, films, seed):
    "{name: (function that gives what is to be drawn, motion gain)}, each decoded in a study of its own."
    from semvideo.ablation import branch_study
    from semvideo.new_subject import decode_from_others
    def decode(name, refined=True, **kw):
        own = branch_study(study, study.path/'systems'/name.replace(' ', '-'), ('prepare', 'mine', 'targets'))
        drawn = dict(refine='scenes', motion='films', films=films) if refined else {}
        return lambda: decode_from_others(own, NEW, seed=seed, **drawn, **kw)
    systems = {f'{m} minutes': (decode(f'{m} minutes', minutes=m), 1.) for m in MINUTES}
    systems['permuted'] = decode('permuted', method='permuted'), 1.
    systems['mean'] = decode('mean', refined=False, method='mean'), None # an average is all it has
    return systems

def show(study, films, seed, clips):
    "A row of the result: what each system shows, and each number of minutes above each null."
    from judged_help import above, answers, rendered, shares
    from semvideo.cvr import CVR
    from semvideo.evaluate import evenly
    from semvideo.intervals import time_blocks
    from semvideo.metrics import load_models
    table = study.select('test')
    some = evenly(len(table), clips)
    ids, blocks, truth = table.clip_id.iloc[some].tolist(), time_blocks(table)[some], np.asarray(study.frames('test'))[some]
    models, got = load_models('tiny'), {}
    for name, (decode, gain) in decoded_systems(study, films, seed).items():
        draw = lambda: CVR('tiny', motion_gain=gain).render(decode()[some], seed, 'faithful', ids)
        video = rendered(study.path/'systems', f'{name.replace(" ", "-")}-{len(some)}', draw)
        got[name] = answers(video, truth, models)
        if name == '0 minutes': got[NULLS[-1]] = answers(np.roll(video, len(some)//2, 0), truth, models)
    minutes = {k: v for k,v in got.items() if k.endswith(' minutes')}
    return dict(brain='nonlinear', seed=seed, clips=len(some), blocks=len(set(blocks)),
                shows={k: shares(v, blocks) for k,v in got.items()},
                above={k: {null: above(v, got[null], blocks) for null in NULLS} for k,v in minutes.items()},
                own_minutes_above_none={k: above(v, got['0 minutes'], blocks) for k,v in minutes.items() if k != '0 minutes'})

def main_rendered(a):
    from judged_help import made_with, processor_seconds
    a.out = a.out or Path(__file__).parent/'results/new_subject.json'
    folder, result = a.dir or tempfile.mkdtemp(), dict(made_with(), rows=[])
    settings = json.loads(a.miniature)
    for seed in a.seeds:
        before = processor_seconds()
        row = show(*whole(folder, seed, **settings), seed, a.clips)
        result['rows'].append(row | dict(processor_seconds=processor_seconds() - before))
        print(json.dumps(result['rows'][-1]), flush=True)
        a.out.write_text(json.dumps(result, indent=1) + '\n')

def main():
    from semvideo.alignment import new_subject_curve
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--dir', type=Path, default=None)
    p.add_argument('--out', type=Path, default=None)
    p.add_argument('--rendered', action='store_true', help='what the video shows, instead of the curve of identification')
    p.add_argument('--seeds', type=int, nargs='+', default=[0, 1], help='with --rendered')
    p.add_argument('--clips', type=int, default=None, help='with --rendered: evenly spaced test clips; default all')
    p.add_argument('--miniature', default='{}', metavar='JSON', help='with --rendered: settings of a smaller miniature, for a try')
    p.add_argument('--runs', nargs='+', default=['nonlinear:0', 'nonlinear:1', 'linear:0'], metavar='BRAIN:SEED')
    a = p.parse_args()
    if a.rendered: return main_rendered(a)
    a.out = a.out or Path(__file__).parent/'results/bench_alignment.json'
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
