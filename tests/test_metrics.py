"529_metrics: whole profiles as a table, chance, memory."
import numpy as np, pytest
from semvideo.core import SemvideoError
from semvideo import metrics as M
from metrics_help import movie, noisy, bundle as bundle, models as models

def test_evaluate_table(models):
    t = movie(6); df = M.evaluate(noisy(t), t, models=models, fps=2.5)
    assert list(df) == ['clip_id', 'metric', 'variant', 'value', 'chance', 'unit'] and set(
        M.TEN) <= set(df.metric)
    assert np.isfinite(df[['value', 'chance']].to_numpy()).all() and (df.groupby(
        ['metric', 'variant']).size() == 6).all()
    assert df.unit[df.metric == 'EPE'].iloc[0] == 'px/frame at 40x40 px, 2.5 fps'
    assert '18-way: the classifier has 20 classes' in df.variant[df.metric == '50-way-V'].iloc[-1]
    assert not set(df.variant) & set(M.evaluate(t, t, 'paper', models, epe_size='native').variant)

@pytest.mark.parametrize('profile,kw', [('strict', {}), ('paper', dict(source='all', epe_size='native', gif=False))])
def test_truth_is_perfect(models, profile, kw):
    t = movie(4); df = M.evaluate(t, t, profile, models, **kw)
    ideal = df[~df.metric.isin(['CLIP-pcc'])]
    assert (ideal.value == ideal.metric.map(M.IDEAL)).all()

@pytest.mark.parametrize('kind', ['black', 'grey', 'white', 'static', 'one frame'])
def test_no_nan(models, kind):
    t = movie(4)
    v = {
        'black': np.zeros_like(t),
        'grey': np.full_like(t, 128),
        'white': np.full_like(t, 255),
        'static': t[:, :1].repeat(5, 1),
        'one frame': t[:, :1]
    }[kind]
    for a,b in ((v, t if kind != 'one frame' else v), (t if kind != 'one frame' else v, v), (v, v)):
        for p,kw in (('strict', {}), ('paper', dict(source='all', epe_size='native'))):
            assert np.isfinite(M.evaluate(a, b, p, models, **kw)[['value',
                                                                  'chance']].to_numpy()).all()

def test_unknown_names(models, bundle):
    t = movie(2)
    for f, says in ((lambda: M.ssim(t, t, 'x'), 'profile'),
                    (lambda: M.evaluate(t, t, models=models, metrics=['FID']),
                     'No such metrics'), (lambda: M.load_models('nowhere'), 'No judging networks'),
                    (lambda: M.load_models(bundle, image='x'), 'image classifier')):
        with pytest.raises(SemvideoError, match=says): f()

def test_memory_does_not_grow_with_n(tmp_path):
    "Five times the clips, read from disk: the peak of NumPy's own memory grows by far less."
    import tracemalloc
    peak = []
    for n in (70, 350):
        a = np.lib.format.open_memmap(tmp_path/f'{n}.npy', 'w+', np.uint8, (n, 2, 24, 24, 3))
        a[:] = movie(10, 2, 24).repeat(n//10, 0)
        a.flush()
        x = np.load(tmp_path/f'{n}.npy', mmap_mode='r')
        tracemalloc.start()
        M.evaluate(x, x, models=None, metrics=['SSIM', 'PSNR'])
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peak[1] < 2*peak[0]

def test_fields_are_measured_once_a_clip_and_bounded(models, monkeypatch):
    t = movie(4)
    r = noisy(t)
    n = dict(flow=0, hue=0)
    flow,hue = M.clip_flow,M.hue_field
    from semvideo import flow as room
    monkeypatch.setattr(room, 'clip_flow',
                        lambda *a: n.__setitem__('flow', n['flow'] + 1) or flow(*a))
    monkeypatch.setattr(room, 'hue_field', lambda *a: n.__setitem__('hue', n['hue']+1) or hue(*a))
    for v in (r, r[::-1], r[[1, 0, 3, 2]]): M.evaluate(v, t, models=models)
    assert n == dict(flow=8, hue=8) # four truths, four reconstructions, however they are paired
    c = M.FlowCache(budget=3*flow(t[0]).nbytes)
    [c(x, None, False) for x in np.concatenate([t, r])]
    assert c.used <= c.budget and len(c.d) == 3
