"""Which decoder reads which brain: linear and nonlinear read-outs, ridge and SAD, on the miniature's two brains.

    python tests/bench_brains.py [--dir FOLDER] [--out tests/results/bench_brains.json] [--seeds 0 1] [--snr 1 3]

`snr` is a factor on each brain's default. Subject 1, 8 training segments of 240 clips, two repeats averaged.
Everything is fitted on the first 6 and scored on the last 2 training segments: the test segment is not touched.
Differences are paired, with an interval over blocks of time. `--only readouts` leaves the decoders out.

    python tests/bench_brains.py --rendered [--dir FOLDER] [--seeds 0 1] [--clips N]

What the video shows on the nonlinear brain: a study with films (subject 1, 6 training segments, one test segment), trained,
decoded and rendered as the demo is: SAD and MAD as decoded and refined (one scene a clip, a film of it), tuned ridge through
the same renderer, as decoded and refined in the same way, the nearest training clip, and true conditions as the ceiling.
Kind, colour and direction by the judges, identification from the states, each with its paired difference to ridge. The rows
are added to the file as `rendered`; FOLDER keeps studies and videos, so that a run that was cut goes on.
"""
import argparse, datetime, json, platform, subprocess, sys, tempfile
from pathlib import Path
import numpy as np
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

N_TRAIN, N_HELD = 8, 2
SHARE = dict(linear=.3, nonlinear=.1)  # about 2,000 and 1,350 vertices
DEFAULT_SNR = dict(linear=.9, nonlinear=1.)

def make(folder, brain, snr, seed):
    "The study, its mean responses, targets and labels."
    from semvideo import simulate
    from semvideo.bundle import TextEncoder
    from semvideo.core import Study
    from semvideo.ridge import mean_repeats
    from semvideo.targets import target, text_targets
    path = Path(folder)/f'{brain}-{snr:g}-{seed}'
    cfg = simulate.miniature_config(brain, n_subjects=1, seed=seed, n_train=N_TRAIN, test_repeats=2,
                                    snr=snr*DEFAULT_SNR[brain], share=SHARE[brain])
    if not (path/'targets/train/holistic.npy').exists():
        study = simulate.scan_study(path, cfg)
        text_targets(study, 'train', TextEncoder('tiny'))
    study = Study(path)
    clips = study.select('train')
    films = simulate.scripted_films(cfg)
    shots = [c.shot(1.) for name in dict.fromkeys(clips.segment) for c in films[name]]
    labels = {q: np.array([getattr(s, f) for s in shots]) for q,f in QUESTIONS.items()}
    held = np.isin(clips.segment, list(dict.fromkeys(clips.segment))[-N_HELD:])
    y = np.array(target(study, 'train', 'holistic'), np.float32)
    return study, mean_repeats(study.fmri(1, 'train')), y, labels, held, clips

QUESTIONS = dict(kind='kind', colour='colour', background='background', direction='motion')

def readouts(x, labels, held):
    "Share right of each question, by each read-out; direction on moving clips only."
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from semvideo.film import DIRECTIONS
    white = lambda model: make_pipeline(PCA(100, random_state=0), StandardScaler(), model)
    models = {
        'ridge classifier (linear)': RidgeClassifierCV(np.logspace(0, 7, 15)),
        'shrunk LDA (linear)': make_pipeline(
            PCA(200, random_state=0), LinearDiscriminantAnalysis(solver='lsqr', shrinkage='auto')),
        'quadratic discriminant': white(QuadraticDiscriminantAnalysis(reg_param=.1)),
        'MLP': white(MLPClassifier((128,), alpha=1., max_iter=40, random_state=0))}
    out = {}
    for q,label in labels.items():
        rows = np.isin(label, DIRECTIONS) if q == 'direction' else np.ones(len(label), bool)
        train, test = rows & ~held, rows & held
        chance = max((label[test] == v).mean() for v in set(label[train]))
        out[q] = dict(chance=chance, **{
            name: float(m.fit(x[train], label[train]).score(x[test], label[test]))
            for name,m in models.items()})
    return out

def predictions(study, x, y, held, clips, seed):
    "Standardised text states of the held-out clips by each decoder, {name: (n,P)}, and the truth."
    import torch
    from sklearn.decomposition import PCA
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from semvideo.ridge import Ridge
    from semvideo.sad import SAD, SAD_MINIATURE
    from semvideo.train import RECIPES, TrainConfig, run, seeded, training_data
    m, s = y[~held].mean(0), y[~held].std(0)
    s = (s**2 + (.05*np.median(s))**2)**.5
    flat = ((y-m)/s).reshape(len(y), -1)
    out = dict(ridge=Ridge().fit(x[~held], flat[~held], clips.segment.to_numpy()[~held]).predict(x[held]))
    kernel = make_pipeline(PCA(100, random_state=0), StandardScaler(),
                           KernelRidge(kernel='poly', degree=2, coef0=1, gamma=.01, alpha=1))
    out['kernel ridge, degree 2'] = kernel.fit(x[~held], flat[~held]).predict(x[held])
    with seeded('cpu', 'init', seed):
        sad = SAD({1: x.shape[1]}, SAD_MINIATURE, tokens=y.shape[1], width=y.shape[2])
    config = TrainConfig.from_dict({**RECIPES['miniature'].sad_pretrain, 'seed': seed})
    run(sad, training_data(study, sad), config, ~held)
    sad.eval()
    with torch.no_grad():
        h = sad.project(torch.as_tensor(x[held]), 1)
        out['SAD'] = sad.tokens(h).flatten(1).numpy()
        if sad.linear is not None: out['SAD without MLP'] = sad.linear(h).numpy()
        states = sad.states.inverse(sad.tokens(h))
        refined = sad.refine(states, samples=1, generator=torch.Generator().manual_seed(seed))
        out['SAD with Refineformer, one sample'] = sad.states(refined).flatten(1).numpy()
    return out, flat, sad

def decoders(study, x, y, labels, held, clips, seed):
    "Identification, R2 and the kind that a read-out trained on true states finds; each against ridge."
    import torch
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from semvideo.intervals import compare, time_blocks
    from semvideo.train import own_above_others
    out, flat, _ = predictions(study, x, y, held, clips, seed)
    true = torch.as_tensor(flat[held])
    blocks = time_blocks(clips[held])
    pca = PCA(100, random_state=0).fit(flat[~held])
    lda = LinearDiscriminantAnalysis(solver='lsqr', shrinkage='auto')
    lda.fit(pca.transform(flat[~held]), labels['kind'][~held])
    scores, table = {}, {}
    for name,p in out.items():
        p = np.asarray(p, np.float32)
        scores[name] = dict(
            identification=own_above_others(torch.as_tensor(p), true).numpy(),
            kind=(lda.predict(pca.transform(p)) == labels['kind'][held]).astype(float),
            error=np.square(p - flat[held]).mean(1))
        row = {k: float(v.mean()) for k,v in scores[name].items()}
        row['r2'] = 1 - row.pop('error')/float(np.square(flat[held] - flat[~held].mean(0)).mean())
        for k,v in scores[name].items():
            if name == 'ridge': continue
            c = compare(v, scores['ridge'][k], blocks, better='lower' if k == 'error' else 'higher')
            row[f'{k} above ridge'] = [round(c[i], 4) for i in ('difference', 'low', 'high')]
        table[name] = row
    return table

def films_study(folder, seed, **settings):
    "The nonlinear brain with films, captions and all targets; and the folder of films without a brain."
    from semvideo.core import Study
    from semvideo.demo import data_steps, demo_settings
    path = Path(folder)/f'rendered_{seed}'
    miniature = dict(brain='nonlinear', n_train=6, n_test=1, test_repeats=10, share=SHARE['nonlinear']) | settings
    demo_settings(path, dict(seed=seed, n_subjects=1, **miniature), False)
    for step in data_steps(path, seed, 1, **miniature).values(): step()
    return Study(path), path/'miniature/other_films'

def drawn_by(study, films, seed):
    "{name: (conditions, motion gain)}; as decoded, {name: Decoded}."
    from semvideo.decode import Refinement
    from semvideo.evaluate import decoded_systems
    from semvideo.rivals import true_conditions
    from semvideo.train import decode_study, train_study
    train_study(study, 1, seed=seed)
    refined = decode_study(study, 1, seed=seed, refine='scenes', motion='films', films=films)
    states = {('SAD' if k == 'SemVideo' else k): v for k,v in decoded_systems(study, 1, 'test').items()}
    ridge = states['ridge']
    refinement = Refinement(study, 1, 'scenes', None, 'films', films, seed)
    ridge_refined,_ = refinement(ridge, study.clip_ids('test'), lambda said: ridge.latents)
    return {'SAD, refined': (refined, 1.), 'SAD': (states['SAD'], None), 'ridge': (ridge, None),
            'ridge, refined': (ridge_refined, 1.),
            'true conditions': (true_conditions(study, 'test', slice(None)), 1.)}, states

def identified(states, study, blocks):
    "Identification from the text states of each level: SAD's, ridge's, and the paired difference."
    from semvideo.intervals import compare
    from semvideo.rivals import state_scores
    scores, out = state_scores(states, study, 'test'), {}
    for level,own in scores.groupby('variant', sort=False):
        by = {s: g.value.to_numpy() for s,g in own.groupby('system')}
        c = compare(by['SAD'], by['ridge'], blocks)
        out[level] = dict(SAD=round(float(by['SAD'].mean()), 4), ridge=round(float(by['ridge'].mean()), 4),
                          above=[round(c[k], 4) for k in ('difference', 'low', 'high')])
    return out

def show(study, films, seed, clips):
    "A row of `rendered`."
    from judged_help import above, answers, rendered, shares
    from semvideo.cvr import CVR
    from semvideo.evaluate import evenly, nearest_training
    from semvideo.intervals import time_blocks
    from semvideo.metrics import load_models
    table = study.select('test')
    some, blocks = evenly(len(table), clips), time_blocks(table)
    truth, ids = np.asarray(study.frames('test'))[some], table.clip_id.iloc[some].tolist()
    conditions, states = drawn_by(study, films, seed)
    models, got = load_models('tiny'), {}
    for name,(given,gain) in conditions.items():
        draw = lambda: CVR('tiny', motion_gain=gain).render(given[some], seed, 'faithful', ids)
        got[name] = answers(rendered(study.path/'systems', f'{name.replace(", ", "-").replace(" ", "-")}-{len(some)}', draw), truth, models)
    got['nearest training clip'] = answers(nearest_training(states['SAD'], study, 'test')[some], truth, models)
    pairs = [(a, b) for a in ('SAD, refined', 'SAD') for b in ('ridge', 'nearest training clip')]
    pairs.append(('SAD, refined', 'ridge, refined'))
    return dict(brain='nonlinear', seed=seed, clips=len(some), blocks=len(set(blocks[some])),
                identification=identified(states, study, blocks),
                shows={k: shares(v, blocks[some]) for k,v in got.items()},
                above={f'{a} above {b}': above(got[a], got[b], blocks[some]) for a,b in pairs})

def main_rendered(a):
    from judged_help import made_with, processor_seconds
    folder = a.dir or tempfile.mkdtemp()
    result = json.loads(a.out.read_text()) if a.out.is_file() else {}
    result['rendered'] = dict(made_with(), rows=[])
    for seed in a.seeds:
        before = processor_seconds()
        row = show(*films_study(folder, seed, **json.loads(a.miniature)), seed, a.clips)
        result['rendered']['rows'].append(row | dict(processor_seconds=processor_seconds() - before))
        print(json.dumps(result['rendered']['rows'][-1]), flush=True)
        a.out.write_text(json.dumps(result, indent=1) + '\n')

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--dir', type=Path, default=None)
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results/bench_brains.json')
    p.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    p.add_argument('--snr', type=float, nargs='+', default=[1., 3.])
    p.add_argument('--only', choices=['readouts'], default=None)
    p.add_argument('--rendered', action='store_true', help='what the video shows, added to the file')
    p.add_argument('--clips', type=int, default=None, help='with --rendered: evenly spaced test clips; default all')
    p.add_argument('--miniature', default='{}', metavar='JSON', help='with --rendered: settings of a smaller miniature, for a try')
    a = p.parse_args()
    if a.rendered: return main_rendered(a)
    folder = a.dir or tempfile.mkdtemp()
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True)
    kept = json.loads(a.out.read_text()).get('rendered') if a.out.is_file() else None
    result = dict(commit=commit.stdout.strip(), date=str(datetime.date.today()),
                  machine=f'{platform.machine()}, Python {platform.python_version()}', rows=[])
    if kept: result['rendered'] = kept
    for seed in a.seeds:
        for brain in SHARE:
            for snr in a.snr:
                study, x, y, labels, held, clips = make(folder, brain, snr, seed)
                row = dict(brain=brain, snr=snr, seed=seed, vertices=x.shape[1],
                           readouts=readouts(x, labels, held))
                if a.only is None: row['decoders'] = decoders(study, x, y, labels, held, clips, seed)
                result['rows'].append(row)
                print(json.dumps(row), flush=True)
                a.out.write_text(json.dumps(result, indent=1) + '\n')

if __name__ == '__main__': main()
