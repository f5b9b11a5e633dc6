"""552_value_rows, 553_trust_page: every value beside its chance and what its interval stands on; the page, to the letter."""
import json
import numpy as np, pandas as pd, pytest
from semvideo.core import read_json
from semvideo import stats as S
from stats_help import scored as scored

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

def test_a_row_holds_the_interval_of_its_values_and_what_it_stands_on(scored):
    lad = scored[3]
    ours = lad[lad.rung == 'ours']
    for blocks in (3, None):
        rows = S.metric_table(lad, blocks).set_index(['metric', 'variant'])
        for key, own in ours.groupby(['metric', 'variant']):
            sure = S.mean_interval(own.value.to_numpy(), blocks)
            row = rows.loc[key]
            assert row.value == pytest.approx(own.value.mean()) and row.how == sure.how
            assert np.allclose([row.low, row.high], [sure.low, sure.high], equal_nan=True)
    assert S.interval_check(S.metric_table(lad, 3))['says'].endswith('t over 8 stretches')
    assert 'Without: no interval: 24 clips' in S.interval_check(S.metric_table(lad))['says']
