"""715_page_parts, 716_brain_parts, 717_clip_table, 718_provenance, 729_report: hostile text, nothing leaves the page, parts that are missing, a browser."""
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from semvideo.clip_table import clip_film
from semvideo.core import SemvideoError, rng_for, write_csv, write_json, write_npy
from semvideo.page_parts import _near_chance
from semvideo.provenance import _in_order
from semvideo.report import OURS, page_data, report_study
from semvideo.sample import sample_film
from browser_help import SIDEWAYS, Seen, browser as browser
from page_help import N, full, recon_of, wide_results, study as study


def test_page_is_whole_safe_and_but_for_its_videos_the_same_twice(study):
    full(study)
    a = report_study(study, 1, recon=recon_of(study), n=2)
    text = a.read_text(encoding='utf-8')
    assert a == study.path/'report.html' and text.count('<video') == 2
    assert text.count('data:video/mp4') == 2 + N and text.count('</section>') == 6
    assert '<script>alert' not in text and 'a &lt;b&gt;bold&lt;/b&gt; study' in text
    assert r'\u003cscript\u003ealert(0)' in text # captions travel as data, in which no tag can end
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
    assert 'No ceiling was rendered' in text and 'Best tenth' not in text


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


def test_a_null_that_is_nearer_as_a_set_is_said_where_the_number_stands(study):
    full(study)
    sets = pd.DataFrame(dict(system=[OURS, 'random training clip', 'shuffled fMRI', 'nearest training clip'],
                             distance=[300., 120., 300., 110.], halves=90., n=N, network='tiny', name='FVD'))
    write_csv(study.path/'evaluate/sub-1/frechet.csv', sets)
    d = page_data(study, 1, recon=recon_of(study), n=1)
    said = [v['line'] for v in d['verdicts'] if v['kind'] == 'bad' and 'FVD' in v['line']]
    assert said == ['FVD: 300; nearer without knowing the clip: random training clip']
    assert said[0] + '.' in [n['text'] for n in d['notes']]
    table, = [t for t in d['trust'] if t['title'] == 'Distance of the set of clips']
    last = {r[0]: r[-1] for r in table['rows']}
    assert last == {OURS: '', 'random training clip': 'beats ours, knowing nothing of the clip', 'shuffled fMRI': '',
                    'nearest training clip': 'a rival, nearer than ours'}


def test_the_strip_has_the_ceiling_of_the_same_clips(study):
    full(study)
    ids = study.clip_ids('test')
    write_csv(study.path/'evaluate/sub-1/ceiling.csv', pd.DataFrame(dict(clip_id=ids[::6])))
    write_npy(study.path/'evaluate/sub-1/ceiling.npy', np.asarray(study.frames('test'))[::6])
    strip = page_data(study, 1, recon=recon_of(study), n=3)['strip']
    assert strip['rows'] == ['shown', 'reconstructed', 'ceiling']
    assert {f['clip_id'] for f in strip['films']} <= set(ids[::6])


def test_a_page_of_240_clips_at_the_paper_size_is_small():
    "Of 240 clips of 12 frames at 224 pixels, the films take less than two thirds of 15 MB."
    import cv2
    film = sample_film()['test'][0].frames(np.arange(12)/6)
    grain = rng_for('grain').normal(0, 4, (12, 224, 224, 3))
    large = np.stack([cv2.resize(f, (224, 224), interpolation=cv2.INTER_CUBIC) for f in film])
    noisy = np.clip(large + grain, 0, 255).astype(np.uint8)
    assert 240*len(clip_film(noisy, noisy[::-1], 6)) < 10e6
    assert 240*len(clip_film(noisy, noisy[::-1], 6, side=224)) > 10e6, 'the limit is one'


@pytest.fixture
def report(study):
    wide_results(full(study))
    return report_study(study, 1, recon=recon_of(study), n=4)


@pytest.mark.slow
@pytest.mark.parametrize('scheme', ('light', 'dark'))
@pytest.mark.parametrize('width', (1300, 1150, 1000, 800, 390))
def test_no_width_scrolls_sideways_and_nothing_is_asked_or_said(browser, report, width, scheme):
    seen = Seen(browser, report, width, scheme)
    assert not seen.ask(SIDEWAYS)
    if width == 1300: assert 2000 < seen.ask('document.documentElement.scrollHeight') < 6000
    seen.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert not seen.ask(SIDEWAYS)
    hidden = """[...document.querySelectorAll('.wide')].filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
        .map(e => e.getAttribute('aria-label'))"""
    if width >= 800: assert seen.ask(hidden) == [] and seen.ask("document.querySelectorAll('.all').length") == 2
    light = seen.ask("getComputedStyle(document.body).backgroundColor").endswith('(251, 250, 248)')
    assert light == (scheme == 'light')
    assert seen.said == [] and seen.outside == []


@pytest.mark.slow
def test_the_probe_of_the_browser_sees_what_is_broken(browser, report):
    text = report.read_text(encoding='utf-8')
    broken = report.with_name('broken.html')
    broken.write_text(text.replace('</main>', '<div style="width:1500px">x</div><img src="http://127.0.0.1:9/x"></main>')
                      .replace("img-src data:", "img-src *").replace('draw();\n  if (calm)', 'draw(); none();\n  if (calm)'),
                      encoding='utf-8')
    seen = Seen(browser, broken, 390)
    seen.page.wait_for_timeout(300)
    assert seen.ask(SIDEWAYS) and seen.outside and any('none is not defined' in s for s in seen.said)


@pytest.mark.slow
def test_films_play_and_are_reached_by_keyboard(browser, report):
    seen = Seen(browser, report)
    seen.page.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState === 4 && v.videoWidth > 0)")
    assert seen.ask("document.querySelectorAll('video').length") == 4 + 6
    assert seen.ask("document.querySelectorAll('video')[0].paused") is False
    seen.page.keyboard.press('Tab')
    assert seen.ask("document.activeElement.getAttribute('aria-label')").startswith('Clip test1-000, from above: shown')
    seen.page.keyboard.press('Enter')
    assert seen.ask('document.activeElement.paused') is True
    seen.page.keyboard.press(' ')
    assert seen.ask('document.activeElement.paused') is False
    seen.page.locator('.clips video').first.focus()
    seen.page.keyboard.press('Enter')
    assert seen.ask('document.activeElement.paused') is True
    seen.page.locator('#toggle').click()
    assert seen.ask("[...document.querySelectorAll('video')].every(v => v.paused)") is True


@pytest.mark.slow
def test_who_asks_for_less_motion_gets_still_films(browser, report):
    seen = Seen(browser, report, reduced_motion='reduce')
    seen.page.wait_for_timeout(300)
    assert seen.ask("[...document.querySelectorAll('video')].every(v => v.paused)") is True


NAMES = "[...document.querySelectorAll('.clips .name b')].map(e => e.textContent)"


@pytest.mark.slow
def test_the_table_sorts_filters_and_turns_pages(browser, report):
    seen, page = Seen(browser, report), None
    page = seen.page
    first = [f'test1-{i:03d}' for i in range(6)]
    assert seen.ask(NAMES) == first
    page.get_by_role('button', name='Further').click()
    assert seen.ask(NAMES)[0] == 'test1-006' and page.locator('#count').inner_text() == '7 to 12 of 24'
    page.locator('thead [data-sort=place] button').click() # the made-up scores rise with the film
    assert seen.ask(NAMES) == [f'test1-{23 - i:03d}' for i in range(6)]
    assert page.locator('thead [data-sort=place]').get_attribute('aria-sort') == 'ascending'
    page.locator('thead [data-sort=place] button').click()
    assert seen.ask(NAMES) == first
    page.get_by_role('button', name='Best tenth').click()
    assert sorted(seen.ask(NAMES)) == ['test1-022', 'test1-023']
    page.get_by_role('button', name='Cut').click()
    assert page.locator('#count').inner_text() == 'no such clip'
    page.get_by_role('button', name='All').click()
    page.locator('#find').fill('alert(7)')
    assert 'test1-007' in seen.ask(NAMES) and seen.said == []
    page.locator('#find').fill('')
    page.locator('#sort').select_option(label='Object kind')
    assert seen.ask(NAMES)[0] == 'test1-023' and page.locator('#metric-head').inner_text().startswith('Object kind')


@pytest.mark.slow
def test_on_paper_nothing_is_folded(browser, report, tmp_path):
    seen = Seen(browser, report)
    seen.page.emulate_media(media='print')
    assert seen.ask("getComputedStyle(document.querySelector('.strip')).display") == 'none'
    assert seen.ask("getComputedStyle(document.querySelector('.paper')).display") == 'block'
    seen.ask("dispatchEvent(new Event('beforeprint'))")
    assert seen.ask("document.querySelectorAll('details:not([open])').length") == 0
    seen.ask("dispatchEvent(new Event('afterprint'))")
    assert seen.ask("document.querySelectorAll('details[open]').length") == 0



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
