"""What a reader of the rooms of the page would skip: hostile text, nothing leaves the page, verdicts
over made tables, parts that are missing, a browser."""
import re, shutil, subprocess, io
import numpy as np, pandas as pd, pytest
from PIL import Image
from semvideo.core import Decoded, SemvideoError, Study, rng_for, write_csv, write_npy, write_json
from semvideo.metrics import identification, nearest_rows
from semvideo.page_parts import _near_chance
from semvideo.provenance import _in_order
from semvideo.report import (OURS, Explorer, choose_clips, contact_sheet,
                             is_rival, metric_rows, number_text,
                             page_data, report_study, row_picture, shared_words, side_by_side,
                             standing, states_table, table_cells, verdicts, video_uri)
from semvideo.verdicts import _fates

N, F = 24, 4
def row(system, metric, value, chance=.125, variant='judged', gain=None, direction='higher', **kw):
    g = {} if gain is None else dict(gain=gain, gain_low=gain - .05, gain_high=gain +
                                     .05, beaten='yes' if gain > .05 else 'no')
    return {
        **dict(subject=1, split='test', profile='strict', system=system, metric=metric, variant=variant, unit='accuracy', direction=direction, n=N, value=value, low=value - .05, high=value + .05, chance=chance),
        **g,
        **kw
    }

@pytest.fixture
def study(tmp_path):
    ids = [f'test1-{i:03d}' for i in range(N)] + [f'seg1-{i:03d}' for i in range(40)]
    clips = pd.DataFrame(
        dict(clip_id=ids, split=['test']*N + ['train']*40, segment=['test1']*N + ['seg1']*40,
             onset_s=[2.*i for i in range(N)] + [2.*i for i in range(40)], duration_s=2.,
             source='x.mp4'))
    s = Study.create(tmp_path/'study', 'a <b>bold</b> study', 'made & tested', clips)
    r = rng_for('test_report')
    for split, n in (('test', N), ('train', 40)):
        write_npy(s.path/f'frames/{split}.npy', r.integers(0, 256, (n, F, 16, 16, 3),
                                                           dtype=np.uint8))
        s.save_captions(
            split,
            pd.DataFrame({
                'clip_id': s.clip_ids(split),
                **{
                    l: [f'{l} <script>alert({i})</script> & "{split}"' for i in range(n)]
                    for l in ('basic', 'anchor', 'motion', 'holistic')
                }
            }))
        for l in ('anchor', 'motion', 'holistic'):
            write_npy(s.path/f'targets/{split}/{l}.npy',
                      r.standard_normal((n, 3, 4)).astype(np.float32))
    s.save_fmri(1, 'test', np.zeros((N, 1, 3), np.float32))
    return s

def decoded_of(study, noise):
    t = {l: np.load(study.path/f'targets/test/{l}.npy') for l in ('anchor', 'motion', 'holistic')}
    return Decoded(
        **{
            l: (v + noise*rng_for('noise', l).standard_normal(v.shape)).astype(np.float32)
            for l, v in t.items()
        }, latents=np.zeros((N, F, 4, 2, 2), np.float32))

def recon_of(study): return np.asarray(study.frames('train'))[:N]

def full(study, noise=.3):
    decoded_of(study, noise).save(study.path/'decode/sub-1/test.safetensors')
    rows = [
        row(OURS, 'kind', .8),
        row('mean video', 'kind', .1, gain=.7),
        row('shuffled fMRI', 'kind', .15, gain=.65),
        row(OURS, 'EPE', 2., np.nan, direction='lower'),
        row('mean video', 'EPE', 1.5, np.nan, gain=-.5, direction='lower')
    ]
    write_csv(study.path/'evaluate/sub-1/results.csv', pd.DataFrame(rows))
    write_csv(
        study.path/'evaluate/sub-1/clips.csv',
        pd.DataFrame(
            dict(system=OURS, clip_id=study.clip_ids('test'), metric='kind', variant='judged',
                 value=np.arange(N)/N, chance=.125, unit='accuracy')))
    return study

def test_page_is_whole_safe_and_but_for_its_videos_the_same_twice(study):
    full(study)
    a = report_study(study, 1, recon=recon_of(study), n=2)
    text = a.read_text(encoding='utf-8')
    assert a == study.path/'report.html' and text.count('<video') == 12 and text.count(
        '</section>') == 6
    assert '<script>alert' not in text and '&lt;script&gt;alert(0)' in text and 'a &lt;b&gt;bold&lt;/b&gt; study' in text
    assert not re.findall(r'(?:src|href|poster|action)="(?!data:|#)[^"]*"', text) and not re.search(
        r'url\(|@import|https?:|//[a-z]', re.sub(r'data:[^"]*', '', text))
    assert "default-src 'none'" in text and str(study.path) not in text
    # the encoder's threads do not promise the same bytes
    still = lambda t: re.sub(r'data:video/mp4[^"]*', '', t)
    assert still(
        report_study(study, 1, study.path/'again.html', recon=recon_of(study),
                     n=2).read_text(encoding='utf-8')) == still(text)

def test_a_miniature_is_not_called_by_the_name_of_its_layout(study):
    m = study.manifest
    m.update(name='cc2017', source='CC2017: Wen et al. 2017')
    write_json(study.path/'manifest.json', m)
    study.stage('mine', dict(backend='script')).finish()
    d = page_data(study, 1, recon=recon_of(study), n=1)
    assert 'Wen' not in d['lead'] and 'simulated' in d['title'] and 'simulated' in d['lead'] and [
        n['text'][:8] for n in d['notes']
    ] == ['The film', 'Captions']

def test_audit_selection_ceiling_and_repeats_are_on_the_page(study):
    full(study)
    r = rng_for('repeats')
    x = r.standard_normal((N, 1, 5)) + .5*r.standard_normal((N, 4, 5))
    (study.path/'fmri/sub-1/test.npy').unlink()
    study.save_fmri(1, 'test', x.astype(np.float32))
    write_csv(
        study.path/'leak_audit.csv',
        pd.DataFrame([
            dict(check='near-copies of frames', status='leak', count=7, of=24, detail='',
                 examples='')
        ]))
    d = pd.DataFrame([dict(subject=1, method='fdr', alpha=.05, tail='greater', voxels=10)])
    write_csv(study.path/'prepare/selection-1.csv', d)
    write_csv(study.path/'prepare/selection-2.csv', d.assign(subject=2, published=13,
                                                             difference=-3))
    write_csv(
        study.path/'evaluate/sub-1/repeats.csv',
        pd.DataFrame([
            dict(repeats=k, what=w, value=.5 + .05*k, low=.4, high=.8, chance=.5)
            for k in (1, 2)
            for w in ('anchor text state', 'noise ceiling')
        ]))
    assert page_data(
        study, 1, recon=recon_of(study), n=1
    )['summary'] == 'Right answers, as the judges see them: object kind 80.0% (chance 12.5%, strongest null 15.0%). 1 of 2 metrics beat every null.'
    text = report_study(study, 1, recon=recon_of(study), n=1).read_text(encoding='utf-8')
    t = {x['caption']: x for x in page_data(study, 1, recon=recon_of(study), n=1)['trust']}
    assert 'Leak audit of the splits' in text and 'near-copies of frames' in text and 'How many repeats does it take?' in text
    assert next(
        v for k, v in t.items()
        if 'subject 1' in k and 'no published count' in k)['rows'][0][-1] == '10' and next(
            v for k, v in t.items()
            if 'subject 2' in k and 'beside the published' in k)['rows'][0][-2:] == ['13', '-3']
    assert float(next(v for k, v in t.items() if 'Noise ceiling' in k)['rows'][0][4]) > .8

def test_ids_are_unique_and_every_link_has_its_target(study):
    text = report_study(full(study), 1, recon=recon_of(study), n=1).read_text(encoding='utf-8')
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)
    assert all('alt="' in t for t in re.findall(r'<img[^>]*>', text)) and all(
        'aria-label="' in t
        for t in re.findall(r'<video[^>]*>', text)) and '<html lang="en">' in text

def test_parts_that_are_missing_name_their_verb(study):
    text = report_study(study, 1, recon=recon_of(study)).read_text(encoding='utf-8')
    for verb in ('semvideo evaluate', 'semvideo decode', 'semvideo explain'):
        assert verb in text
    assert 'nothing has chosen them' in text and 'every clip is ranked' not in text

def test_missing_ridge_is_said_and_a_lost_one_is_on_top(study):
    full(study, noise=3.)
    assert 'Ridge regression was not run' in report_study(study, 1, recon=recon_of(study),
                                                          n=1).read_text(encoding='utf-8')
    decoded_of(study, .1).save(study.path/'decode/sub-1/test-ridge.safetensors')
    d = page_data(study, 1, recon=recon_of(study), n=1)
    assert [n['kind'] for n in d['notes']
            ] == ['bad'] and 'SAD is worse than ridge' in d['notes'][0]['text'] and any(
                v['tag'] == 'SAD loses' for v in d['verdicts'])

def test_ridge_of_the_results_table_is_used_and_not_said_twice(study):
    full(study)
    r = pd.read_csv(study.path/'evaluate/sub-1/results.csv')
    t = dict(variant='motion text state', chance=.5)
    decoded_of(study, 3.).save(study.path/'decode/sub-1/test-ridge.safetensors')
    for gain, tag in ((-.2, 'SAD loses'), (.2, 'SAD holds'), (.01, 'SAD holds')):
        write_csv(
            study.path/'evaluate/sub-1/results.csv',
            pd.concat([
                r,
                pd.DataFrame([
                    row(OURS, 'Identification', .7, **t),
                    row('ridge', 'Identification', .7 - gain, gain=gain, **t)
                ])
            ]))
        d = page_data(study, 1, recon=recon_of(study), n=1)
        said = [v for v in d['verdicts'] if 'SAD' in v['tag']]
        assert [v['tag'] for v in said] == [tag] and 'motion' in said[0]['text'] and (len(
            d['notes']) == 1) == (tag == 'SAD loses')
        assert [g['name'] for g in d['metric_groups']
                ] == ['Plain questions', 'Decoded text states', 'Space and time']
        marks = [
            c['mark'] for g in d['metric_groups']
            if g['name'] == 'Decoded text states' for x in g['rows'] for c in x['cells']
        ]
        assert ('better' in marks) == (gain < -.05)

@pytest.mark.parametrize('gains,kind,says', [((.5, .3), 'good', 'beats every null'), ((.5, .02), 'bad', 'does not beat shuffled fMRI'), ((-.3, -.2), 'bad', 'does not beat mean video (60.0%) and shuffled fMRI (60.0%)')])
def test_question_verdicts(gains, kind, says):
    r = pd.DataFrame(
        [row(OURS, 'colour', .6)] +
        [row(s, 'colour', .6, gain=g) for s, g in zip(('mean video', 'shuffled fMRI'), gains)])
    v, = verdicts(r)
    assert v['kind'] == kind and says in v['text'] and '60.0%' in v['text'] and 'chance 12.5%' in v[
        'text']

def test_group_verdicts_refuse_what_is_not_won():
    rows = [row(OURS, m, .5, variant='x') for m in ('SSIM', 'PSNR', 'EPE')] + [
        row('mean video', 'SSIM', .2, variant='x', gain=.3),
        row('mean video', 'PSNR', .9, variant='x', gain=-.4),
        row('mean video', 'EPE', .1, variant='x', gain=-.4)
    ]
    pixel, time = verdicts(pd.DataFrame(rows))
    assert pixel['kind'] == 'open' and 'SSIM beats every null' in pixel[
        'text'] and 'PSNR by mean video' in pixel['text'] and time[
            'kind'] == 'bad' and 'No claim of motion' in time['text']
    assert verdicts(pd.DataFrame([row(OURS, 'kind', .5)]))[0]['kind'] == 'open'

def test_ceilings_and_rivals_are_not_nulls():
    assert is_rival('ridge') and is_rival(
        'VAE round trip') and not is_rival('shuffled fMRI') and not is_rival('random training clip')
    r = pd.DataFrame([
        row(OURS, 'kind', .6),
        row('mean video', 'kind', .1, gain=.5),
        row('VAE round trip', 'kind', .99, gain=-.39)
    ])
    assert verdicts(r)[0]['kind'] == 'good'

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

def test_nearest_rows_is_brute_force_and_block_free():
    r = np.random.default_rng(0)
    d, c = r.standard_normal((9, 3, 2)), r.standard_normal((50, 3, 2)) + 3
    m = c.mean(0)
    u = lambda a: ((a - m)/np.linalg.norm(a - m, axis=(1, 2), keepdims=True)).reshape(len(a), -1)
    want = (u(d) @ u(c).T).argmax(1)
    for block in (1, 7, 64): assert (nearest_rows(d, c, block)[0] == want).all()

def test_identification_is_chance_for_noise_and_one_for_truth():
    r = np.random.default_rng(0)
    y = r.standard_normal((200, 30))
    on = np.arange(200)*2.
    assert identification(
        y, y,
        on).min() == 1 and abs(identification(r.standard_normal(y.shape), y, on).mean() - .5) < .06
    assert shared_words('', '') == 0 and shared_words('a b', 'b a') == 1

def test_clip_choice_has_no_overlap_and_keeps_its_rule():
    r = pd.Series(np.random.default_rng(0).random(50), index=[f'c{i}' for i in range(50)])
    c = choose_clips(r, 4)
    names = [n for n, _ in c]
    order = r.sort_values(ascending=False).index.tolist()
    assert len(set(names)) == 12 and names[:4] == order[:4] and names[-4:] == order[-4:] and set(
        names[4:8]) == set(order[23:27])
    assert len(choose_clips(r.iloc[:2], 4)) == 0 and len(choose_clips(r.iloc[:3], 4)) == 3

def test_standing_ignores_scale_and_constant_metrics():
    v = np.random.default_rng(0).random(10)
    t = lambda m, x: pd.DataFrame(
        dict(clip_id=[f'c{i}' for i in range(10)], metric=m, variant='x', value=x))
    a = standing(t('SSIM', v))
    pd.testing.assert_series_equal(
        a,
        standing(pd.concat([t('SSIM', v),
                            t('PSNR', 10*v + 3),
                            t('EPE', -v),
                            t('VIFI-score', .5)])))

def test_videos_are_h264_and_the_right_frames():
    import av, base64
    v = np.zeros((4, 16, 16, 3), np.uint8)
    v[:, :, :, 0] = np.array([0, 80, 160, 240])[:, None, None]
    pair = side_by_side(v, v)
    data = base64.b64decode(video_uri(pair, 2).split(',')[1])
    with av.open(io.BytesIO(data)) as f:
        s = f.streams.video[0]
        got = [x.to_ndarray(format='rgb24') for x in f.decode(s)]
        assert s.codec_context.name == 'h264' and s.codec_context.pix_fmt == 'yuv420p' and float(
            s.average_rate) == 2 and len(got) == 4
    assert np.abs(np.array([g[:, :100, 0].mean() for g in got]) - [0, 80, 160, 240]).max() < 12

def test_rendered_clips_of_another_size_are_shown_at_the_truths_size(study):
    big = np.repeat(np.repeat(recon_of(study)[:, ::2], 2, 2), 2, 3)
    e = Explorer(full(study), 1, recon=big)
    assert e.recon.shape == study.frames('test').shape and (e.recon[:, 0]
                                                            == big[:, 0, ::2, ::2]).mean() > .2
    with pytest.raises(SemvideoError, match='differ in shape'):
        side_by_side(big[0], recon_of(study)[0])

def test_explorer_follows_its_slider(study):
    e = Explorer(full(study), 1, recon=recon_of(study))
    first = e.image.value
    e.slider.value = 3
    assert e.values(
    )['clip_id'] == 'test1-003' and e.image.value != first and '&lt;script&gt;' in e.text.value and '<script>' not in e.text.value
    im = Image.open(io.BytesIO(e.image.value))
    assert im.n_frames == F and im.info.get('loop') == 0
    with pytest.raises(SemvideoError, match='No such clip'): e.show('nothing')

def test_contact_sheet_shows_the_frames_it_says():
    v = np.random.default_rng(0).integers(0, 256, (5, 4, 16, 16, 3), dtype=np.uint8)
    im = np.asarray(contact_sheet(v[::-1], v, ['x'*500]*5, clips=[2], frames=2, columns=1))
    assert (im[24:40, 10:26] == v[2, 0]).all() and (im[24:40, 28:44]
                                                    == v[2, 3]).all() and (im[42:58, 10:26]
                                                                           == v[2, 0]).all()

NULLS, RIVALS = ('static first frame', 'mean image', 'mean video', 'random training clip',
                 'frozen first frame', 'shuffled fMRI',
                 'shifted fMRI'), ('nearest training clip', 'VAE round trip', 'true conditions',
                                   'second seed', 'ridge')
def wide_results(study):
    "As many systems as `evaluate` scores, each with numbers of its own."
    out = []
    for k, (m, v, lower) in enumerate([('kind', 'judged', 0), ('2-way-I', 'strict top-1', 0),
                                       ('SSIM', 'strict', 0), ('EPE', 'strict', 1)]):
        kw = dict(
            variant=v, direction='lower' if lower else 'higher', chance=.3 + k/100,
            unit='px/frame at 64x64 px, 4 fps' if lower else 'ssim' if m == 'SSIM' else 'accuracy',
            corrected=.7 + k/100)
        out.append(row(OURS, m, .5 + k/1000, **kw))
        out += [
            row(s, m, .1037 + i/19 + k/1000, gain=.25 - i/23, **{
                **kw, 'n': 16 if s in RIVALS[1:] else N
            }) for i, s in enumerate(NULLS + RIVALS)
        ]
    write_csv(study.path/'evaluate/sub-1/results.csv', pd.DataFrame(out))
    return pd.DataFrame(out)

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

def test_stages_come_in_the_order_they_run():
    names = [
        'train/sub-1/mad', 'evaluate/sub-1', 'train/pretrain/mad', 'prepare', 'other',
        'decode/sub-1/test', 'mine'
    ]
    assert [k for k, _ in _in_order(dict.fromkeys(names))] == [
        'prepare', 'mine', 'train/pretrain/mad', 'train/sub-1/mad', 'decode/sub-1/test',
        'evaluate/sub-1', 'other'
    ]

@pytest.mark.parametrize('low,inside', [(.55, True), (.97, False)])
def test_chance_is_drawn_or_said(low, inside):
    from matplotlib.figure import Figure
    ax = Figure().subplots()
    d = pd.DataFrame(dict(repeats=[1, 2], value=[low + .01, .99], low=[low, .98], high=1.))
    ax.plot(d.repeats, d.value)
    _near_chance(ax, d)
    assert (ax.get_ylim()[0] <= .5) == inside and ('chance' in ' '.join(
        t.get_text() for t in ax.texts)) == (not inside) and ax.get_ylim()[1] >= .99

def test_levels_come_in_the_order_of_the_captions(study):
    assert states_table(study, decoded_of(study, .3), others={'ridge': decoded_of(
        study, 1.)})[['level', 'decoder']].agg(' '.join, axis=1).tolist() == [
            f'{l} {d}' for l in ('anchor', 'motion', 'holistic') for d in ('SAD', 'ridge')
        ]

def test_every_map_says_in_words_what_it_shows(study):
    folder = study.path/'explain/sub-1'
    folder.mkdir(parents=True)
    v = pd.DataFrame(
        dict(hemisphere=list('LLRR'), parcel=['V1', 'V1', 'MT', 'MT'], haufe=[.1, .2, .5, .6],
             gradient_x_input=[.9, .8, .1, .1]))
    write_csv(folder/'motion.csv', v)
    write_csv(
        folder/'motion_roi.csv',
        pd.DataFrame([dict(parcel='MT', hemisphere='R', n=2, mean=.55, share=.8, p=.01, q=.02)]))
    for m in ('haufe', 'gradient_x_input'):
        Image.new('RGB', (8, 8)).save(folder/f'motion_{m}.png')
    part, = page_data(study, 1, recon=recon_of(study), n=1)['brain']
    alts = [f['alt'] for f in part['figures']]
    assert 'what the voxels carry. Strongest in MT right and V1 left.' in alts[
        0] and 'what the decoder uses. Strongest in V1 left and MT right.' in alts[
            1] and '"carries"' in part['tables'][0]['caption']

CHROMIUM = [
    '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--disable-quic'
]
@pytest.mark.slow
@pytest.mark.skipif(shutil.which('chromium') is None, reason='needs chromium')
@pytest.mark.parametrize('width', (1300, 1150, 1000, 800))
def test_no_table_hides_a_column(study, tmp_path, width):
    wide_results(full(study))
    page = report_study(study, 1, recon=recon_of(study), n=1)
    probe = "<script>addEventListener('load',()=>{document.title='T'+innerWidth+'|'+[...document.querySelectorAll('.wide')].filter(e=>e.scrollWidth>e.clientWidth+1).map(e=>e.getAttribute('aria-label')).join(';')+'|'+document.querySelectorAll('.all').length+'|'+(document.documentElement.scrollWidth>innerWidth)})</script>"
    test = tmp_path/'probe.html'
    test.write_text(
        page.read_text(encoding='utf-8').replace('</body>', probe + '</body>'), encoding='utf-8')
    dom = subprocess.run([
        'chromium', *CHROMIUM, f'--user-data-dir={tmp_path/"profile"}',
        f'--window-size={width},900', '--virtual-time-budget=4000', '--dump-dom', f'file://{test}'
    ], capture_output=True, text=True, timeout=120).stdout
    assert re.search('<title>(.*?)</title>', dom)[1] == f'T{width}||2|false'

@pytest.mark.slow
@pytest.mark.skipif(shutil.which('chromium') is None, reason='needs chromium')
def test_a_browser_can_play_every_clip_and_asks_for_nothing(study, tmp_path):
    page = report_study(full(study), 1, recon=recon_of(study), n=1)
    probe = "<script>addEventListener('load',()=>setTimeout(()=>{document.title='T'+[...document.querySelectorAll('video')].map(v=>v.readyState==4&&v.videoWidth>0&&!v.error?1:0).join('')+'R'+performance.getEntriesByType('resource').filter(e=>!e.name.startsWith('data:')).length+'E'},2500))</script>"
    test = tmp_path/'probe.html'
    test.write_text(
        page.read_text(encoding='utf-8').replace('</body>', probe + '</body>'), encoding='utf-8')
    flags = [*CHROMIUM, f'--user-data-dir={tmp_path/"profile"}']
    dom = subprocess.run(
        ['chromium', *flags, '--virtual-time-budget=9000', '--dump-dom', f'file://{test}'],
        capture_output=True, text=True, timeout=120).stdout
    got = re.search(r'<title>T([01]+)R(\d+)E</title>', dom)
    assert got, dom[:300]
    assert set(got[1]) == {'1'} and got[2] == '0'
