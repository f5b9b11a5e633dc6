"""The card of a study's own fMRI beside that of its shuffled fMRI, and how often each claim is licensed when the
reconstructions are other clips': dealt anew to every clip, all so many clips on, or one and the same through twelve clips.
`python tests/bench_trust.py STUDY [RUNS] [SUBJECT]` writes tests/results/trust_null_runs.json, with a hash of the code
that judged. STUDY is evaluated (`semvideo demo --out STUDY`)."""
import ast, hashlib, inspect, json, sys, textwrap, time
from pathlib import Path
import numpy as np, pandas as pd
from semvideo.core import Study, read_csv, write_text
from semvideo.evaluate import OURS, fit_to, load_render, score_system
from semvideo.metrics import clip_flow, load_models
from semvideo.motion import shuffle_table, shuffle_test, swapped_p
from semvideo.questions import plain_questions
from semvideo import stats
from semvideo.trust import card, claim_checks, shuffle_check
from semvideo.nulls import rungs

OUT = Path(__file__).parent/'results'/'trust_null_runs.json'
ORDERS = 2000 # draws of frame orders in a null run
DRIFT = 12 # clips that have one reconstruction in a drift
BASELINES = ('nearest training clip', 'ridge')
JUDGING = ('verdict claim_rows baseline_check shuffle_check claim_checks order_gain rungs compare mean_interval time_pieces '
           'block_length block_labels holm shuffle_table swapped_p shuffle_p order_p pairings').split()
CHANGED = (OURS, 'shuffled fMRI', 'shifted fMRI', 'frozen first frame') # systems made of reconstructions

def code_hash():
    "A hash of the functions that judge, without their comments and docstrings and wherever they stand."
    def plain(fn):
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node): node.body = node.body[1:]
        return ast.dump(tree)
    return hashlib.sha256('\n'.join(plain(getattr(stats, name)) for name in JUDGING).encode()).hexdigest()[:16]

def scores(recon, truth, models, ids):
    "Every strict metric and the plain questions, without chance: {(metric, variant): (N,)}."
    table = score_system(recon, truth, models, ids, chance=False)
    wide = table.pivot(index='clip_id', columns=['metric', 'variant'], values='value').loc[ids]
    return {key: wide[key].to_numpy() for key in wide}

def swapped_scores(recon, truth, models, ids, offsets):
    "{offset: scores of each truth with the reconstruction that many clips on}, as decoded and frozen."
    n, out = len(recon), {}
    for k in offsets:
        moved = recon[(np.arange(n)+k) % n]
        held = np.broadcast_to(moved[:, :1], moved.shape)
        still = {(m, 'judged'): v for m, v, _ in plain_questions(held, truth, models) if m == 'direction'}
        out[k] = scores(moved, truth, models, ids), still
    return out

def order_table(recon, truth, offsets, seed=0):
    "{offset: p_direction of each truth with the reconstruction that many clips on}."
    n, out = len(recon), {k: np.zeros(len(recon)) for k in offsets}
    tables = []
    for j in range(n): # reconstruction j meets truth j-k
        tables.append(shuffle_table(recon[j], truth[j], None, [truth[(j-k) % n] for k in offsets]))
    p = swapped_p(tables, ORDERS, seed)
    for c, k in enumerate(offsets): out[k][(np.arange(n)-k) % n] = p[:, c]
    return out

def drifting(n, offsets, rng):
    "Offsets of a run in which twelve clips after each other have one and the same reconstruction."
    last = [k for k in offsets if all((k-i) % n in offsets for i in range(DRIFT))]
    starts = rng.choice(last, -(-n//DRIFT))
    return ((starts[:, None]-np.arange(DRIFT)) % n).ravel()[:n]

def null_run(found, orders, fixed, still, moving, segments, rng, kind):
    "Verdicts of a run in which every clip has another clip's reconstruction."
    n, offsets = len(moving), np.array([k for k in found if k])
    half = n//2
    offsets = offsets[offsets != half]
    def picked(of, which): return np.array([of[k][i] for i, k in enumerate(which)])
    draws = dict(shuffled=lambda: rng.choice(offsets, n), shifted=lambda: np.full(n, rng.choice(offsets)),
                 drift=lambda: drifting(n, offsets, rng))
    drawn = draws[kind]()
    others = rng.choice(offsets, n)
    turned = (np.roll(drawn, -half)+half) % n # ours of half a film on
    rows = []
    for key in found[offsets[0]][0]:
        scored = {k: v[0][key] for k, v in found.items()}
        systems = {OURS: picked(scored, drawn), 'shuffled fMRI': picked(scored, others),
                   'shifted fMRI': picked(scored, turned), **fixed[key]}
        if key[0] == 'EPE': systems['frozen first frame'] = still
        elif key[0] == 'Flow-correlation': systems['frozen first frame'] = np.zeros(n)
        elif key in found[offsets[0]][1]:
            systems['frozen first frame'] = picked({k: v[1][key] for k, v in found.items()}, drawn)
        wide = pd.DataFrame(systems)
        tidy = wide.melt(ignore_index=False, var_name='system').rename_axis('clip_id').reset_index()
        tidy['clip_id'] = tidy.clip_id.map('{:04d}'.format)
        tidy['metric'], tidy['variant'] = key
        tidy['rung'] = tidy.system.map({OURS: 'ours'} | dict.fromkeys(BASELINES, 'baseline')).fillna('null')
        rows.append(rungs(tidy, segments))
    partners = [picked(orders, rng.choice(offsets, n)) <= .05 for _ in range(4)]
    shuffle = pd.DataFrame(dict(clip_id=range(n), p=1., p_direction=picked(orders, drawn), moving=moving,
                                swapped=np.mean(partners, 0)))
    checks = claim_checks(pd.concat(rows, ignore_index=True), shuffle, segments)
    return {c['check']: bool(c['ok']) for c in checks}, float((shuffle.p_direction[moving] <= .05).mean())

def as_cards(table, dealt, shuffles, segments):
    "Cards of the evaluation and of dealt reconstructions, and the check of frame order played backwards."
    real = card(table, segments, 'real fMRI', shuffle=shuffles['real'])
    chance = table[table.system == OURS].set_index(['clip_id', 'metric', 'variant']).chance
    again = pd.concat([*dealt, table[~table.system.isin(CHANGED)]], ignore_index=True)
    again['chance'] = chance.reindex(pd.MultiIndex.from_frame(again[['clip_id', 'metric', 'variant']])).to_numpy()
    false = card(again, segments, 'shuffled fMRI', shuffle=shuffles['shuffled'])
    shown = {c.title: [x for x in c.checks if x['kind'] == 'claim' or x['check'] == 'intervals']
             for c in (real, false)}
    return dict(cards=shown, backwards=shuffle_check(shuffles['backwards'], segments),
                metrics={c.title: c.to_dict()['metrics'] for c in (real, false)})

def both_cards(table, recon, truth, models, ids, segments):
    "`as_cards` of a study: its reconstructions dealt to other clips by one permutation."
    rng, n = np.random.default_rng(0), len(recon)
    mixed, other = rng.permutation(n), rng.permutation(n)
    videos = {OURS: recon[mixed], 'frozen first frame': np.broadcast_to(recon[mixed][:, :1], recon.shape),
              'shuffled fMRI': recon[other], 'shifted fMRI': recon[np.roll(mixed, n//2)]}
    dealt = [score_system(v, truth, models, ids, chance=False).assign(system=s) for s, v in videos.items()]
    films = dict(real=recon, shuffled=recon[mixed], backwards=recon[:, ::-1])
    shuffles = {k: shuffle_test(v, truth, 10_000, clip_ids=ids) for k, v in films.items()}
    return as_cards(table, dealt, shuffles, segments)

def main(folder, runs=200, subject=1):
    start = time.time()
    study = Study(folder)
    clips, truth = study.select('test'), np.asarray(study.frames('test'))
    recon = fit_to(load_render(study, subject, 'test'), truth)
    ids, segments = clips.clip_id.tolist(), clips.segment.to_numpy()
    models = load_models('tiny', cache=Path(folder)/'.bench_trust')
    table = read_csv(Path(folder)/f'evaluate/sub-{subject}/clips.csv', dtype=dict(clip_id=str))
    n, half = len(recon), len(recon)//2
    rng = np.random.default_rng(0)
    starts = rng.choice(np.arange(10, half-10-DRIFT, DRIFT), 2, False) # two runs of neighbours: what a drift needs
    some = (starts[:, None]+np.arange(DRIFT)).ravel()
    offsets = sorted([0, half, *map(int, some), *map(int, some+half)])
    print('pairs', len(offsets), flush=True)
    found = swapped_scores(recon, truth, models, ids, offsets)
    print('scored', round(time.time()-start), flush=True)
    orders = order_table(recon, truth, offsets)
    print('orders', round(time.time()-start), flush=True)
    whole = table[table.groupby(['metric', 'variant', 'system']).value.transform('size') == n]
    whole = whole[~whole.system.isin(CHANGED)]
    fixed = {key: {s: g.set_index('clip_id').value.loc[ids].to_numpy() for s, g in group.groupby('system')}
             for key, group in whole.groupby(['metric', 'variant'])}
    still = np.array([np.sqrt(np.square(clip_flow(t)).sum(-1)).mean() for t in truth])
    moving = still > .1
    keys = [k for k in found[0][0] if k in fixed]
    found = {k: ({key: v[0][key] for key in keys}, v[1]) for k, v in found.items()}
    out = dict(study='demo', clips=n, moving=int(moving.sum()), runs=runs, code=code_hash(), licensed={}, share={})
    for kind in ('shuffled', 'shifted', 'drift'):
        verdicts = [null_run(found, orders, fixed, still, moving, segments, rng, kind)
                    for _ in range(runs)]
        out['licensed'][kind] = pd.DataFrame([v for v, _ in verdicts]).mean().round(4).to_dict()
        out['share'][kind] = round(float(np.mean([s for _, s in verdicts])), 4)
        print(kind, out['licensed'][kind], out['share'][kind], round(time.time()-start), flush=True)
    out |= both_cards(table, recon, truth, models, ids, segments)
    write_text(OUT, json.dumps(out, indent=1)+'\n')
    for title, checks in out['cards'].items():
        print(title, *(f'\n  {x["ok"]} {x["check"]}: {x["says"]}' for x in checks))
    print(out['backwards'], round(time.time()-start))

if __name__ == '__main__': main(sys.argv[1], *map(int, sys.argv[2:]))
