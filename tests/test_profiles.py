"""526_judged_pair, 528_profiles: what a pair shares is made once, chance is over all pairs, and a metric or a judge from outside
needs one registration."""
import numpy as np, pandas as pd, pytest, torch
from semvideo.core import SemvideoError
from semvideo import metrics as M
from metrics_help import movie, noisy, bundle as bundle, models as models

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

def test_chance_is_over_all_pairs_of_clips(models):
    "Every reconstruction against every other clip's truth, one by one."
    t = movie(7)
    r = noisy(t, 40)
    table = M.evaluate(r, t, models=models, metrics=['SSIM', 'PSNR', 'Hue-pcc', 'VIFI-score'])
    found = table.groupby(['metric', 'variant']).chance.first()
    def over_pairs(fn): return np.mean([fn(r[i:i+1], t[j:j+1])[0] for i in range(7) for j in range(7) if i != j])
    want = {('SSIM', 'strict'): over_pairs(M.ssim), ('PSNR', 'strict'): over_pairs(M.psnr),
            ('Hue-pcc', 'strict agreement'): over_pairs(M.hue_pcc)}
    for key, value in want.items(): assert found[key] == pytest.approx(value, rel=1e-9), key
    features = [M.unit_rows(models.vifi(x)) for x in (r, t)]
    cosines = features[0] @ features[1].T
    assert found['VIFI-score'].iloc[0] == pytest.approx(cosines[~np.eye(7, dtype=bool)].mean(), abs=1e-6)

def test_what_a_pair_shares_is_made_once(models, monkeypatch):
    t = movie(4)
    pair, asked = M.Pair(noisy(t), t, models), []
    plain = models.image_logits
    monkeypatch.setattr(models, 'image_logits', lambda x: asked.append(len(x)) or plain(x))
    for _ in range(3): pair.image
    assert asked == [4, 4] # both sides, once
    again = pair.gif
    assert again is pair.gif and (again.gate, again.models) == (pair.gate, models) and again.recon.shape[2:4] == (44, 43)
