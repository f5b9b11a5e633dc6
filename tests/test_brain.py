"""180_brain, 185_nonlinear: what the two brains hide, how reliable they are, and that the first is
what it was."""
import numpy as np, pandas as pd, pytest
from semvideo import simulate

@pytest.fixture(scope='module')
def scans():
    "Mean responses and kinds of many clips on both brains, with little noise: {brain: (x, kind)}."
    out = {}
    cfgs = dict(linear=simulate.miniature_config(n_train=12, seed=2, test_repeats=1, snr=3.6, share=.08),
                nonlinear=simulate.miniature_config('nonlinear', n_train=12, seed=2, test_repeats=1, snr=4., share=.05))
    films = simulate.scripted_films(cfgs['linear'])
    films.pop('test1')
    features = {name: simulate.features_of(f) for name,f in films.items()}
    features['test1'] = features['seg1'] # not read
    kind = np.array([c.shot(1.).kind for f in films.values() for c in f])
    for brain,cfg in cfgs.items():
        runs = simulate.scan_subject(cfg, features, 1)[1]
        out[brain] = np.concatenate([runs[n].mean(1) for n in films]), kind
    return out

def read_outs(x, y, n=480):
    "Share right of the last n clips: by a linear classifier, and by a perceptron."
    from sklearn.decomposition import PCA
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    mlp = make_pipeline(PCA(60, random_state=0), StandardScaler(),
                        MLPClassifier((128,), alpha=1., max_iter=40, random_state=0))
    return [m.fit(x[:-n], y[:-n]).score(x[-n:], y[-n:]) for m in (RidgeClassifierCV(np.logspace(0, 7, 15)), mlp)]

@pytest.mark.filterwarnings('ignore::sklearn.exceptions.ConvergenceWarning')
def test_only_the_nonlinear_brain_hides_the_kind_from_a_linear_read_out(scans):
    (linear, mlp), (easy, easy_mlp) = (read_outs(*scans[b]) for b in ('nonlinear', 'linear'))
    assert mlp - linear > .15 and mlp > .5, (linear, mlp)
    assert easy > .9 and abs(easy_mlp - easy) < .05, (easy, easy_mlp)

def test_without_conjunctions_the_gap_is_gone():
    cfg = simulate.miniature_config('nonlinear', n_train=4, seed=2, test_repeats=1, snr=4., share=.05, conjunction=0.)
    films = simulate.scripted_films(cfg)
    runs = simulate.scan_subject(cfg, {n: simulate.features_of(f) for n,f in films.items()}, 1)[1]
    x = np.concatenate([runs[f'seg{i}'].mean(1) for i in range(1, 5)])
    kind = np.array([c.shot(1.).kind for i in range(1, 5) for c in films[f'seg{i}']])
    from sklearn.linear_model import RidgeClassifierCV
    assert RidgeClassifierCV(np.logspace(0, 7, 15)).fit(x[:720], kind[:720]).score(x[720:], kind[720:]) > .8

def test_reliability_is_as_asked_for():
    cfg = simulate.miniature_config('nonlinear', n_train=2, seed=4, test_repeats=1, share=.05)
    features = {n: simulate.features_of(f) for n,f in simulate.scripted_films(cfg).items()}
    vertices, runs = simulate.scan_subject(cfg, features, 1)
    r = np.mean([(runs[s][:,0]*runs[s][:,1]).mean(0) for s in ('seg1', 'seg2')], 0)
    by_role = pd.Series(r).groupby(vertices.role).mean()
    for role,wanted in zip(('early', 'motion', 'meaning'), cfg.reliability): assert abs(by_role[role] - wanted) < .06

def test_the_first_brain_is_what_it_was(tmp_path):
    "Its settings name no brain, and its files are made as before there was a second one."
    cfg = simulate.MiniatureConfig(n_subjects=1, n_train=1, train_repeats=1, test_repeats=1)
    assert 'brain' not in cfg.to_dict() and simulate.miniature_config().hash == 'd7535303bfc3'
    vertices = simulate.subject_vertices(1, cfg)
    features = {n: simulate.features_of(f) for n,f in simulate.scripted_films(cfg).items()}
    signals = simulate.subject_signals(features, vertices, 1, cfg)
    w = simulate.tuning(vertices, 1, cfg)
    drive = simulate.drive_of(features['seg1'], w)
    sd = drive.std(0)
    sd[sd == 0] = 1
    bold = simulate.noiseless_bold(features['seg1'], w, 245, cfg, sd)
    size = bold.std(0)
    size[size == 0] = 1
    want = bold/size*cfg.snr*(vertices.role != 'none').to_numpy()
    assert np.array_equal(signals['seg1'], want) and signals['seg1'].dtype == np.float32
