"529_metrics: whole profiles as a table, chance, memory, metrics and judges from outside."
import numpy as np, pandas as pd, pytest, torch
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

def depth_judge(where, revision=None):
    "A judge this package has never heard of: mean brightness of the halves of a frame."
    class Halves(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x[:, :, :4].mean((1, 2, 3)), x[:, :, 4:].mean((1, 2, 3))], 1)
    return Halves(), dict(side=8, mean=(0, )*3, std=(1, )*3, crop=False,
                          resample=2), f'halves-{where and where.name}'

def halves(models, x):
    return models.frame_features('halves', x,
                                 lambda net, pixels, f: net(M.prepare_frames(f, **pixels)))

@pytest.fixture
def clean():
    "Whatever a test registers is taken out again."
    yield
    for m in dict.fromkeys(a[1] for a in M.ADDED_METRICS): M.forget_metric(m)
    for j in list(M.JUDGE_LOADERS): M.forget_judge(j)

def test_a_metric_and_a_judge_from_outside_need_one_registration_each(bundle, tmp_path, clean):
    import shutil
    t = movie(5)
    r = noisy(t)
    before = M.evaluate(r, t, models=M.load_models(bundle)), M.evaluate(
        r, t, 'paper', M.load_models(bundle), source='all', epe_size='native')
    hub, facts = M.JUDGES_HUB.copy(), (M.IDEAL.copy(), M.LOWER.copy(), M.NETLESS.copy(),
                                       M.JUDGED.copy())
    M.register_judge('halves', depth_judge, judges='frames')
    M.register_metric(
        'Halves', lambda p: abs(halves(p.models, p.recon) - halves(p.models, p.truth)).mean((1, 2)),
        'level', chance=.25, ideal=0., lower=True, judge='halves')
    M.register_metric('Sum', lambda p: p.recon.sum((1, 2, 3, 4))-1., 'levels', profile='NEURONS')
    # its judge is not in this bundle
    assert 'Halves' not in set(M.evaluate(r, t, models=M.load_models(bundle)).metric)
    d = shutil.copytree(bundle, tmp_path/'b')
    (d/'halves').mkdir()
    m = M.load_models(d, cache=tmp_path/'c')
    assert m.nets['halves'][2] == 'halves-halves' and list(m.nets)[-1] == 'halves'
    got = M.evaluate(r, t, models=m)
    own = got[got.metric == 'Halves']
    n = len(before[0])
    pd.testing.assert_frame_equal(got.iloc[:n], before[0], check_flags=False)
    assert len(own) == len(got) - n == 5 and (own.chance == .25).all() and (
        own.value > 0).all() and own.unit.iloc[0] == 'level' and own.variant.iloc[0] == 'strict'
    assert (M.evaluate(t, t, models=m, metrics=['Halves']).value
            == M.IDEAL['Halves']).all() and 'Halves' in M.LOWER
    # kept by content, like the features of the others
    assert list((tmp_path/'c').glob('halves-halves-halves/*.safetensors'))
    paper = M.evaluate(r, t, 'paper', m, source='all', epe_size='native')
    assert len(paper) == len(before[1]) + 5 and np.isnan(
        paper[paper.metric == 'Sum'].chance).all() and 'Sum' in set(
            M.evaluate(r, t, 'NEURONS', None, metrics=['Sum']).metric)
    M.forget_metric('Halves')
    M.forget_metric('Sum')
    M.forget_judge('halves')
    assert M.JUDGES_HUB == hub and facts == (M.IDEAL, M.LOWER, M.NETLESS, M.JUDGED)
    pd.testing.assert_frame_equal(M.evaluate(r, t, models=M.load_models(d)), before[0],
                                  check_flags=False)

def test_a_judge_that_comes_with_its_package_is_always_there(bundle, clean):
    M.register_judge('halves', depth_judge, id='halves', revision='1', always=True)
    assert list(M.load_models(bundle).nets)[-1] == 'halves' and list(
        M.load_models(bundle,
                      parts=['halves']).nets) == ['halves'] and 'halves' not in M.load_models(
                          bundle, parts=['clip']).nets and 'halves' not in M.JUDGES_FROM_HUB

def test_a_judge_of_a_transformers_class_needs_no_loader(bundle, tmp_path, clean):
    import shutil
    M.register_judge('clip_again', cls='CLIPModel', id='someone/clip', revision='0'*40)
    assert M.JUDGES_FROM_HUB[-1] == 'clip_again'
    d = shutil.copytree(bundle, tmp_path/'b')
    shutil.copytree(d/'clip', d/'clip_again')
    m = M.load_models(d)
    t = movie(1, 2)
    assert np.array_equal(m.clip_image(t, 'clip_again'), m.clip_image(t))

@pytest.mark.parametrize('bad,says', [(lambda: M.register_metric('SSIM', lambda p: 0, 'x'), 'there already'), (lambda: M.register_metric('X', lambda p: 0, 'x', profile='mine'), 'Unknown metric profile'),
    (lambda: M.forget_metric('SSIM'), 'No such added metric'), (lambda: M.register_judge('clip', depth_judge), 'there already'), (lambda: M.register_judge('x'), 'Nothing says'), (lambda: M.forget_judge('clip'), 'No such added judge')])
def test_registries_refuse(bad, says):
    with pytest.raises(SemvideoError, match=says): bad()
    assert not M.ADDED_METRICS and not M.JUDGE_LOADERS
