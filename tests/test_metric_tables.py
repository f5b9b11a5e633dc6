"""712_metric_tables: every number once, where it belongs."""
import re

import numpy as np
import pandas as pd
from semvideo.report import OURS, metric_rows, number_text, page_data, report_study, row_picture, table_cells
from semvideo.verdicts import _fates
from page_help import NULLS, RIVALS, full, recon_of, row, wide_results, study as study


def test_rows_without_a_value_are_left_out_and_a_picture_never_has_nan():
    g, rivals = metric_rows(
        pd.DataFrame([
            row(OURS, '50-way-I', np.nan),
            row(OURS, 'SSIM', .3, np.nan),
            row('mean video', 'SSIM', np.nan, np.nan, gain=.1)
        ]))
    assert [x['name'] for x in g] == ['Pixel level'] and rivals == ['mean video']
    for args in ((1., 1., 1., [1.], np.nan), (1., np.nan, np.nan, [], np.nan), (0., -1., 1.,
                                                                                [np.nan, 2.], .5)):
        assert 'nan' not in row_picture(*args)


def test_two_tables_hold_every_number_once_where_it_belongs(study):
    r = wide_results(full(study))
    text = report_study(study, 1, recon=recon_of(study), n=1).read_text(encoding='utf-8')
    blind, knowing = (re.search(f'aria-label="{l}"><table>(.*?)</table>', text, re.S)[1]
                      for l in ('Metrics beside chance and nulls',
                                'Metrics beside other decoders and ceilings'))
    heads = [re.findall(r'<th scope="col"[^>]*>([^<]+)', t) for t in (blind, knowing)]
    assert tuple(heads[0][5:]) == NULLS and tuple(heads[1][2:]) == RIVALS
    for x in r.itertuples():
        if x.system == OURS:
            assert all(
                f'{v:.3f}' in t
                for v in (x.value, x.low, x.high)
                for t in (blind,
                          knowing)) and f'{x.chance:.3f}' in blind and f'{x.corrected:.3f}' in blind
        else:
            here, there = (blind, knowing) if x.system in NULLS else (knowing, blind)
            assert re.search(rf'>{x.value:.3f}[ <]',
                             here) and not re.search(rf'>{x.value:.3f}[ <]', there)
        if x.system in RIVALS:
            assert f'>{number_text(x.gain, "+")}<' in knowing and f'>{number_text(x.gain_low, "+")} to {number_text(x.gain_high, "+")}<' in knowing
    assert 'lower is better' in blind and 'SSIM <span class="ci"></span>' in blind and 'strict' not in blind and 'strict' in page_data(
        study, 1, recon=recon_of(study), n=1)['metrics_rule']


def test_cells_are_marked_by_what_their_system_is():
    r = pd.DataFrame([row(OURS, m, .5) for m in ('kind', 'direction')] + [
        row(s, m, .6, gain=-.1)
        for m in ('kind', 'direction')
        for s in ('mean video', 'frozen first frame', 'ridge', 'VAE round trip')
    ])
    g, _ = metric_rows(r)
    marks = {
        (x['name'], c['system']): (c['mark'], c['aside'], c['rival'])
        for x in g[0]['rows']
        for c in x['cells']
    }
    assert marks['Object kind', 'mean video'] == (
        'not beaten', False, False) and marks['Object kind', 'frozen first frame'] == (
            '', True, False) and marks['Direction of motion',
                                       'frozen first frame'] == ('not beaten', False, False)
    assert marks['Object kind', 'ridge'] == ('better', False,
                                             True) and marks['Object kind',
                                                             'VAE round trip'] == ('', False, True)


def test_a_metric_is_named_with_its_variant_only_where_variants_differ():
    n = pd.DataFrame([
        dict(metric=m, variant=v, beaten=b)
        for m, v, b in (('CLIP-pcc', 'strict gated', 'yes'), ('CLIP-pcc', 'strict ungated', 'no'),
                        ('2-way-I', 'strict top-1', 'yes'), ('2-way-I', 'strict top-3', 'yes'),
                        ('SSIM', 'strict', 'no'), ('SSIM', 'strict', 'yes'))
    ])
    assert _fates(n).tolist() == [
        'CLIP-pcc (gated)', 'CLIP-pcc (ungated)', '2-way-I', '2-way-I', 'SSIM', 'SSIM'
    ]


def test_numbers_stand_right_and_zero_has_no_sign():
    t = table_cells(
        pd.DataFrame(
            dict(system=['a', '2-way'], value=[.5, np.nan],
                 mean=['0.1 [0.0, 0.2]', '-0.3 [-0.4, -0.2]'], alpha=[.05, .001],
                 subject=pd.Series([1, np.nan], dtype=object), identity=['09bf', '1234'])), '')
    assert t['numbers'] == [False, True, True, True, True, False] and t['rows'][0][3:5] == [
        '0.05', '1'
    ] and t['rows'][1][3:5] == ['0.001', '']
    assert [
        number_text(*a)
        for a in ((-.0001, ), (.0001, '+'), (-.2, ), (.2, '+'), (12.345, ), (np.nan, ))
    ] == ['0.000', '0.000', '-0.200', '+0.200', '12.35', '–']
