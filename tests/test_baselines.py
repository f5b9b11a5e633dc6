"365_ridge, 575_baselines: against independent references, and on planted data where the answer is known."
import numpy as np, pandas as pd, pytest
from hypothesis import given, settings, strategies as st
from semvideo.core import SemvideoError
from semvideo import baselines as B, ridge
from semvideo.metrics import identification
from semvideo.targets import LEVELS

def rng(*s): return np.random.default_rng(s)

def planted(n=120, v=80, p=12, noise=3., seed=0):
    r = rng(seed)
    w = r.normal(size=(p, v))
    y,yt = r.normal(size=(n, p)),r.normal(size=(40, p))
    return [
        a.astype(np.float32)
        for a in (y @ w + r.normal(size=(n, v))*noise, y, yt @ w + r.normal(size=(40, v))*noise, yt)
    ] + [np.repeat(list('abcd'), n // 4)]

@settings(max_examples=6, deadline=None)
@given(st.integers(5, 200), st.sampled_from([.1, 10., 1e3]), st.integers(0, 99))
def test_ridge_is_scikit_learns(v, alpha, seed):
    from sklearn.linear_model import Ridge
    x,y,xt,_,g = planted(v=v, seed=seed)
    r = B.Ridge(alphas=(alpha,)).fit(x, y, g)
    s = lambda a: (a-x.mean(0))/x.std(0)
    assert np.allclose(r.predict(xt), Ridge(alpha=alpha).fit(s(x), y).predict(s(xt)), atol=2e-3)

def test_alpha_is_the_best_on_held_out_segments():
    from sklearn.linear_model import Ridge
    x,y,_,_,g = planted(noise=15)
    al = (1., 30., 1e3, 3e4)
    r = B.Ridge(alphas=al).fit(x, y, g)
    want = []
    for a in al:
        res,tot = 0,0
        for k in 'abcd':
            tr = g != k
            m,s = x[tr].mean(0),x[tr].std(0)
            p = Ridge(alpha=a).fit((x[tr]-m)/s, y[tr]).predict((x[~tr]-m)/s)
            res,tot = res+((y[~tr]-p)**2).sum(0),tot+((y[~tr]-y[tr].mean(0))**2).sum(0)
        want.append(1-res/tot)
    assert np.allclose(r.scores, want, atol=1e-3) and r.alpha[0] == al[np.argmax(np.mean(want, 1))]
    per = B.Ridge(alphas=al, per_target=True).fit(x, y, g)
    assert (per.alpha == np.asarray(al)[np.argmax(want, 0)]).all()

@pytest.mark.filterwarnings("ignore:Solving ridge is slower")
def test_ridge_is_himalayas():
    himalaya = pytest.importorskip('himalaya.ridge')
    x,y,xt,_,g = planted(v=200)
    r = B.Ridge(alphas=(50.,)).fit(x, y, g)
    s = lambda a: (a-x.mean(0))/x.std(0)
    h = himalaya.Ridge(alpha=50., fit_intercept=True).fit(s(x), y)
    assert np.allclose(r.predict(xt), h.predict(s(xt)), atol=5e-3)

def test_batches_and_shapes():
    x,y,xt,yt,g = planted()
    a,b = B.Ridge().fit(x, y, g),B.Ridge(batch=5).fit(x, y.reshape(-1, 3, 4), g)
    assert np.allclose(a.predict(xt),
                       b.predict(xt).reshape(40, 12), atol=1e-5) and np.allclose(
                           a.scores, b.scores) and identification(a.predict(xt), yt).mean() > .9

def test_many_targets_take_one_decomposition_a_segment(monkeypatch):
    x,y,xt,_,g = planted()
    calls,real = [],ridge._eig
    monkeypatch.setattr(ridge, '_eig', lambda a: calls.append(len(a)) or real(a))
    parts = (y[:, :5], y[:, 5:].reshape(-1, 7, 1), y)
    several = list(B.Ridge().fit_each(x, parts, g))
    assert sorted(calls) == [90]*4 + [120]
    for r,part in zip(several, parts):
        one = B.Ridge().fit(x, part, g)
        assert r.alpha[0] == one.alpha[0] and np.allclose(
            r.predict(xt), one.predict(xt), atol=1e-6) and r.predict(xt).shape[1:] == part.shape[1:]

def test_a_kept_ridge_decoding_is_of_the_same_data_and_settings(tmp_path):
    from semvideo.core import Decoded, Study, write_npy
    x,y,xt,yt,g = planted(v=20)
    clips = [
        pd.DataFrame(
            dict(clip_id=[f'{s}{i}'
                          for i in range(n)], split=s, segment=seg, onset_s=np.arange(n)*2.,
                 duration_s=2., source='m'))
        for s, n, seg in (('train', 120, g), ('test', 40, 't'))
    ]
    study = Study.create(tmp_path/'s', 'planted', 'a test', pd.concat(clips), {})
    study.save_fmri(1, 'train', x[:, None])
    study.save_fmri(1, 'test', np.stack([xt, xt+1], 1))
    for s,t in (('train', y), ('test', yt)):
        for name in LEVELS:
            write_npy(study.path/f'targets/{s}/{name}.npy', t.reshape(-1, 3, 4))
        write_npy(study.path/f'targets/{s}/latents.npy', t.reshape(-1, 3, 4, 1, 1))
    reads = lambda: len(study.events())
    prepared = lambda seed: study.stage('prepare', dict(seed=seed), force=True).finish([])
    B.save_ridge(study, 1)
    B.save_ridge(study, 1)
    assert reads() == 2 # where the data came from is not written down: made again
    study.stage('targets', {}).finish([])
    prepared(0)
    p = B.save_ridge(study, 1)
    assert reads() == 3 and B.save_ridge(study, 1) == p and reads() == 3
    a = Decoded.load(p).anchor
    B.save_ridge(study, 1, repeats=1)
    b = Decoded.load(p).anchor
    assert reads() == 4 and not np.allclose(a, b)
    prepared(1)
    B.save_ridge(study, 1, repeats=1)
    assert reads() == 5

def test_constant_voxels_and_many_rows():
    x,y,xt,_,g = planted(v=10)
    x[:, 3] = xt[:, 3] = 7
    assert np.isfinite(B.Ridge().fit(x, y, g).predict(xt)).all()

@pytest.mark.parametrize('change,says', [(lambda x,y,g: (x[:9], y, g), 'Rows do not match'), (lambda x,y,g: (x*np.nan, y, g), 'NaN'), (lambda x,y,g: (x, y, g*0 if g.dtype.kind == 'i' else np.full(len(g), 'a')), 'One training segment')])
def test_ridge_refuses(change, says):
    x,y,_,_,g = planted()
    with pytest.raises(SemvideoError, match=says): B.Ridge().fit(*change(x, y, g))

def test_mean_repeats():
    x = rng(0).normal(size=(5, 3, 4))
    x[2, 1] = np.nan
    m = B.mean_repeats(x)
    assert np.allclose(m[2], x[2, [0, 2]].mean(0), atol=1e-6) and np.allclose(
        B.mean_repeats(x, 1), x[:, 0], atol=1e-6)
    x[2] = np.nan
    with pytest.raises(SemvideoError, match='clip 2'): B.mean_repeats(x)

def test_retrieval():
    x,y,xt,yt,g = planted()
    lib = rng(1).normal(size=(50, 12))
    assert (B.retrieve(lib+rng(2).normal(size=lib.shape)*.1, lib)[:, 0] == np.arange(50)).all()
    assert B.retrieve(yt, y, 3).shape == (40, 3)
    f = rng(3).integers(0, 256, (50, 2, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(B.nearest_clips(lib, lib, f), f)

def test_nishimoto_likelihood_is_the_gaussian_one():
    from scipy.stats import multivariate_normal as mvn
    r = rng(0)
    f,x = r.normal(size=(80, 6)).astype(np.float32),None
    x = (f @ r.normal(size=(6, 20))+r.normal(size=(80, 20))).astype(np.float32)
    n = B.Nishimoto(n_voxels=5, shrink=.3).fit(f, x, np.repeat(range(4), 20))
    ll = n.log_likelihood(x[:3], f)
    p = n.ridge.predict(f)[:, n.keep]
    cov = np.linalg.inv(n.precision)
    want = np.array([[mvn.logpdf(x[i, n.keep], p[j], cov) for j in range(80)] for i in range(3)])
    d = ll-want
    assert np.allclose(d, d[0, 0], atol=1e-3)

def test_features_see_colour_and_direction():
    red,blue = np.zeros((1, 4, 32, 32, 3), np.uint8),np.zeros((1, 4, 32, 32, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    assert abs(B.clip_features(red)-B.clip_features(blue)).max() > .5
    import cv2
    tex = cv2.GaussianBlur(rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8), (0, 0), 3)
    right = np.stack([tex[:, 20-2*k:84-2*k] for k in range(5)])[None]
    f = [B.clip_features(v)[0, 192:].reshape(4, 4, 5).mean((0, 1)) for v in (right, right[:, ::-1])]
    assert f[0][0] > 3*f[0][1] and f[1][1] > 3*f[1][0]
