"555_trust: the card licenses, refuses and says why."
import json
import numpy as np, pandas as pd, pytest
from semvideo.core import SemvideoError, Study, read_json
from semvideo import stats as S
from stats_help import noisy, ar, scored as scored

def test_a_table_that_cannot_be_covered_licenses_nothing_and_says_so(scored):
    t,r,tr,lad = scored
    c = S.card(lad, None, shuffle=S.shuffle_test(r, t, swaps=2))
    claims = {x['check']: x for x in c.checks if x['kind'] == 'claim'}
    assert not c.licensed and 'cannot be told, no interval' in claims['motion']['says']
    assert 'Cannot be told' in claims['order of frames']['says'] and c.metrics.low.isna().all()
    assert next(x for x in c.checks if x['check'] == 'intervals')['ok'] is None

def test_card_licenses_and_refuses(scored):
    t,r,tr,lad = scored
    c = S.card(lad, 3, shuffle=S.shuffle_test(r, t))
    ok = {x['check']: x['ok'] for x in c.checks}
    assert ok['motion'] and ok['pixel fidelity'] and ok['order of frames'] and ok[
        'smoothness'] is False and ok['meaning of frames'] is None
    n = S.nulls(r, tr)
    b = S.card(S.ladder(n.pop('mean image'), t, n, models=None), 3)
    says = {x['check']: x['says'] for x in b.checks}
    assert not {
        x['check']: x['ok']
        for x in b.checks
    }['motion'] and 'no claim of decoded motion' in says['motion']
    s = S.card(S.ladder(S.nulls(r, tr, seed=9)['shuffled fMRI'], t, S.nulls(r, tr), models=None), 3)
    assert 'motion' not in s.licensed and 'pixel fidelity' not in s.licensed

def test_the_card_says_what_stands_above_and_what_epe_rewards(scored):
    t,r,tr,lad = scored
    mean = S.nulls(r, tr)['mean image']
    systems = S.nulls(r, tr)|{'random training clip': noisy(t, 1)} # a null that beats us
    c = S.card(S.ladder(noisy(r, 60), t, systems, models=None), 3)
    m = c.metrics.set_index('metric')
    assert 'random training clip' in m.loc['SSIM', 'nulls_above'] and 'random training clip' in c.to_html()
    says = next(x['says'] for x in c.checks if x['check'] == 'motion')
    rows = c.rungs[(c.rungs.metric == 'EPE') & (c.rungs.system == 'frozen first frame')].iloc[0]
    assert f'{rows.difference:+.3g}' in says and 'EPE rewards not moving' in says and 'Flow-correlation' in says
    still = S.card(S.ladder(mean, t, {'copy': mean}, models=None), 3)
    assert 'EPE' not in next(x['says'] for x in still.checks if x['check'] == 'motion').split(':')[-1]

def test_two_equal_systems_are_rarely_called_more_than_a_simple_decoder():
    "20 metrics, 200 runs of two systems of the same law: better somewhere by luck is not better."
    ok = []
    for seed in range(200):
        rows = [dict(system='ridge', metric=f'm{i}', variant='', **S.compare(*ar(.3, 2, 200, seed=(seed*20+i)), 20))
                for i in range(20)]
        ok.append(S.baseline_check(pd.DataFrame(rows))['ok'])
    assert np.mean(ok) <= .05

def test_card_writes_page_and_json(scored, tmp_path):
    c = S.card(scored[3], 3, 'A <run>')
    p = c.save(tmp_path)
    d = read_json(tmp_path/'trust.json')
    page = p.read_text()
    assert '&lt;run&gt;' in page and 'http' not in page and d['metrics'] and all(
        k in d['metrics'][0]
        for k in ('value', 'chance', 'corrected', 'rank', 'low', 'high', 'n_eff'))
    json.dumps(d, allow_nan=False)

def test_the_page_of_a_card_to_the_letter():
    "Templates are written in lines, the page has none; what came from outside is escaped."
    checks = [
        dict(kind='claim', check='motion', ok=True, says="more than 'x' & <y>"),
        dict(kind='claim', check='colour', ok=False, says='no'),
        dict(kind='data', check='seeds', ok=None, says='?')
    ]
    values = pd.DataFrame([
        dict(metric='SSIM', variant='strict', unit='', value=.25, low=.001, high=np.nan, n=3,
             chance=0., rank='1 of 2')
    ])
    c = S.TrustCard('A <run>', checks, values, pd.DataFrame(), dict(a=['"', 1.5]))
    head = ''.join(f'<th>{h}</th>' for h in ('metric', 'variant', 'value', 'low', 'high', 'chance',
                                             'rank', 'n', 'unit'))
    body = (
        '<h1>A &lt;run&gt;</h1><h2>What may be claimed</h2><ul><li><b class=yes>yes</b> '
        '<b>motion</b>: more than &#x27;x&#x27; &amp; &lt;y&gt;</li>'
        '<li><b class=no>no</b> <b>colour</b>: no</li></ul><h2>What it rests on</h2><ul><li><b '
        'class=q>not known</b> <b>seeds</b>: ?</li></ul><h2>Every value beside its '
        'chance</h2>'
        f'<table><tr>{head}</tr><tr><td class=l>SSIM</td><td class=l>strict</td><td>0.250</td><td>0.001</td><td></td><td>0.000</td><td '
        f'class=l>1 of 2</td><td>3</td><td class=l></td></tr></table>'
        '<h2>The ladder</h2><p>Difference is paired over clips and positive where '
        'the reconstruction is better; interval and p are by t over independent pieces of time, '
        'empty where there are too few; p is Holm-adjusted over this table.</p>'
        '<p>nothing measured</p><h2>Facts</h2><pre>{\n &quot;a&quot;: [\n  &quot;\\&quot;&quot;,\n '
        ' 1.5\n ]\n}</pre>')
    assert c.to_html(body=True) == body and c.to_html().endswith(
        f'td.l{{text-align:left}}.no{{color:#a3161b}}.yes{{color:#146c2e}}.q{{color:#6b7280}}li{{margin:.25rem 0}}</style><body>{body}</body></html>'
    )
    assert c.to_html().startswith(
        '<!doctype html><html lang=en><meta charset=utf-8><title>A &lt;run&gt;</title><style>body{font:15px/1.5 '
        'system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}table{')

def test_trust_card_of_a_study(scored, tmp_path):
    t,r,tr,lad = scored; ids = [f'{i:04d}' for i in range(24)]
    st_ = Study.create(
        tmp_path/'s', 'toy', 'discs',
        pd.DataFrame(
            dict(clip_id=ids, split='test', segment='test1', onset_s=np.arange(24)*2.,
                 duration_s=2., source='x')), {})
    with pytest.raises(SemvideoError, match='Not evaluated'): S.trust_card(st_, 1)
    (st_.path/'evaluate/sub-1').mkdir(parents=True)
    lad[lad.system != 'truth'].drop(columns='rung').to_csv(st_.path/'evaluate/sub-1/clips.csv',
                                                           index=False)
    st_.log('reads', split='test', by='train')
    c = S.trust_card(st_, 1, seconds=6)
    ok = {x['check']: x['ok'] for x in c.checks}
    assert ok['all clips scored'] and ok['test set chooses nothing'] is False and ok[
        'seed variance'] is None and ok['motion']
    (st_.path/'leak_audit.csv').write_text('check,status\nframes,leak\ntime,ok\n')
    says = {x['check']: x for x in S.trust_card(st_, 1, seconds=6).checks}
    assert says['no leaks']['ok'] is False and 'frames' in says['no leaks']['says']
    fewer = lad[lad.clip_id != '0003'].drop(columns='rung')
    assert not {
        x['check']: x['ok']
        for x in S.trust_card(st_, fewer, seconds=6).checks
    }['all clips scored']
    with pytest.raises(SemvideoError, match='does not have'):
        S.trust_card(st_, lad.assign(clip_id='z'+lad.clip_id))

def test_a_frozen_frame_is_a_null_of_motion_alone(scored):
    """It keeps the object; so a system that decodes the object and nothing of its motion may still claim
    the object."""
    t,r,tr,lad = scored
    still = np.repeat(r[:, 3:4], r.shape[1], 1)
    c = S.card(S.ladder(still, t, S.nulls(still, tr), models=None), 3)
    says = {x['check']: x for x in c.checks}
    assert 'frozen first frame' in set(c.rungs.system) and 'frozen' not in says['pixel fidelity'][
        'says'] and 'frozen first frame' in says['motion']['says'] and not says['motion']['ok']

def test_systems_on_some_clips_are_compared_on_those(scored):
    t,r,tr,lad = scored
    some = list(dict.fromkeys(lad.clip_id))[::4]
    part = lad[lad.system != 'truth']
    part = pd.concat([part, lad[(lad.system == 'truth') & lad.clip_id.isin(some)]])
    g = S.rungs(part, 3)
    n = dict(zip(zip(g.metric, g.system), g.n))
    o = lad[(lad.rung == 'ours') & (lad.metric == 'PSNR')]
    assert n['PSNR', 'truth'] == len(some) == 6 and n['PSNR', 'mean image'] == 24
    assert g[(g.metric == 'PSNR') & (g.system == 'truth')].ours.item() == pytest.approx(
        o[o.clip_id.isin(some)].value.mean())
    c = S.card(part, 3)
    m = c.metrics.set_index('metric')
    assert m.loc['PSNR', 'n'] == 24 and m.loc['PSNR', 'rank'].startswith('2 of')

def test_simple_decoders_are_named_once_and_a_metric_on_both_sides_by_its_variant():
    rows = pd.DataFrame([
        dict(system=s, metric=m, variant=v, low=lo, high=lo + .1)
        for s, m, v, lo in (('ridge', 'SSIM', 'strict', .1), ('ridge', 'PSNR', 'strict', .1),
                            ('nearest', 'CLIP-pcc', 'gated', .1), ('nearest', 'CLIP-pcc', 'ungated',
                                                                   -.3), ('nearest', 'EPE',
                                                                          'strict', -.05))
    ])
    rows = rows.assign(p=.001, how='t over 9 stretches')
    c = S.baseline_check(rows)
    assert c[
        'says'] == 'above: nearest on CLIP-pcc (gated); ridge on PSNR, SSIM. Below: nearest on CLIP-pcc (ungated)' and c[
            'ok'] is False
    assert S.baseline_check(
        rows[rows.low > 0])['says'].endswith('Below: none') and S.baseline_check(
            rows[rows.low > 0])['ok'] is True
    lucky = S.baseline_check(rows[rows.low > 0].assign(p=.04)) # three questions: .04 is luck
    assert lucky['ok'] is False and lucky['says'].startswith('above: none')
    untold = rows.assign(p=np.nan, low=np.nan, high=np.nan, how='no interval: 20 clips')
    assert S.baseline_check(untold)['ok'] is None
