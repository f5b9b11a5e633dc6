"""715_page_parts, 716_brain_parts, 718_provenance, 729_report: hostile text, nothing leaves the page, parts that are missing, a browser."""
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from semvideo.core import SemvideoError, rng_for, write_csv, write_json
from semvideo.page_parts import _near_chance
from semvideo.provenance import _in_order
from semvideo.report import page_data, report_study
from page_help import N, full, recon_of, wide_results, study as study


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


@pytest.mark.parametrize('n', [9, 15, 20])
def test_a_film_too_short_for_distant_clips_has_its_page_too(tmp_path, monkeypatch, n):
    import page_help
    monkeypatch.setattr(page_help, 'N', n)
    study = full(page_help.make_study(tmp_path/'s'))
    page = report_study(study, 1, recon=page_help.recon_of(study), n=1).read_text(encoding='utf-8')
    assert ('no clips more than 20 s apart' in page) == (n < 21)


def test_a_page_is_not_printed_where_no_record_says_what_made_its_numbers(study):
    full(study)
    shutil.rmtree(study.path/'stages', ignore_errors=True)
    with pytest.raises(SemvideoError, match='its record is gone'): report_study(study, 1)
    assert not (study.path/'report.html').exists()
