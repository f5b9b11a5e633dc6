"""625_outlines, 716_brain_parts, 722_brain_page: the page of the brain answers to pointer and keyboard, as the tables say, and asks for nothing."""
import re

import numpy as np
import pytest
from browser_help import SIDEWAYS, Seen, browser as browser, nameless
from semvideo.brain_page import brain_page_data, give_brain, write_brain_page
from semvideo.core import read_csv, read_npy
from semvideo.cortex import atlas
from semvideo.explain import explain_study
from semvideo.maps import vertices_seen
from semvideo.outlines import area_outlines
from semvideo.sample import sample_study


@pytest.fixture(scope='module')
def asked(tmp_path_factory):
    "(study with an explained made-up brain, its reconstructions)."
    study, recon = sample_study(tmp_path_factory.mktemp('brain')/'study')
    explain_study(study, 1, decoders=give_brain(study), n_decoders=99, n_null=49, occlusion=False, methods=())
    return study, recon


@pytest.fixture(scope='module')
def page(asked):
    study, recon = asked
    return write_brain_page(study, 1, recon=recon, report='report.html')


@pytest.fixture(scope='module')
def report(asked, tmp_path_factory):
    "The report of the study, and beside it the page."
    from semvideo.report import report_study
    study, recon = asked
    return report_study(study, 1, tmp_path_factory.mktemp('report')/'out.html', recon=recon, n=1)


def parts(study, level='motion'):
    return read_csv(study.path/f'explain/sub-1/{level}_clips.csv', dtype=dict(clip_id=str)).set_index('clip_id')


def filled(path, shape):
    "An outline as pixels."
    import cv2
    out = np.zeros(shape, np.uint8)
    for piece in path.split('z')[:-1]:
        start, steps = piece[1:].split('l')
        points = np.cumsum([list(map(int, start.split())), *np.array(steps.split(), int).reshape(-1, 2)], 0)
        cv2.fillPoly(out, [points.astype(np.int32)], 1)
    return out.astype(bool)


def test_every_control_of_the_explorer_says_what_it_is(asked):
    from semvideo.brain_explorer import BrainExplorer
    study, recon = asked
    assert not list(nameless(BrainExplorer(study, 1, recon=recon).show('Motion', 'MT left', study.clip_ids('test')[0]).box))


@pytest.mark.parametrize('view,area', [('lateral', 'MT'), ('medial', 'V1'), ('ventral', 'FFC'), ('flat', 'TPOJ1')])
def test_outlines_lie_on_the_areas_of_the_pictures(view, area):
    seen = vertices_seen('L', view)
    truth = (seen >= 0) & (atlas('L')[seen] == area)
    drawn = filled(area_outlines('L', view).areas[area], seen.shape)
    assert (truth & drawn).sum()/(truth | drawn).sum() > .8


def test_the_page_says_what_the_tables_say(asked):
    study, recon = asked
    d = brain_page_data(study, 1, recon=recon)
    motion, = [l for l in d['levels'] if l['key'] == 'motion']
    table, roi = parts(study), read_csv(study.path/'explain/sub-1/motion_roi.csv')
    for i, p in enumerate(d['parcels']):
        row, = roi[(roi.parcel == p['area']) & (roi.hemisphere == p['side'])].itertuples()
        assert np.isclose(motion['maps']['agreement']['values'][i], 1e4*row.mean, rtol=1e-3, atol=1e-3)
        assert np.isclose(motion['p'][i], row.p, rtol=.01) and p['n'] == row.n
        assert np.allclose([r[i] for r in motion['parts']], 1e4*table[f'{p["area"]} {p["side"]}'], rtol=.01, atol=1e-3)
    difference, = [l for l in d['levels'] if l['key'] == 'difference']
    anchor, = [l for l in d['levels'] if l['key'] == 'anchor']
    assert np.allclose(difference['parts'], np.array(motion['parts']) - anchor['parts'], rtol=.02, atol=.2)
    found = {p['area'] for p, q in zip(d['parcels'], motion['p']) if q <= .05}
    assert 'MT' in found and '4' not in found
    assert len(d['clips']) == 48 and all(c['film'].startswith('data:video/mp4') and c['words'] for c in d['clips'])


def test_clips_add_up_to_their_area(asked):
    table, roi = parts(asked[0]), read_csv(asked[0].path/'explain/sub-1/motion_roi.csv')
    mean = table.mean()
    for r in roi.itertuples(): assert np.isclose(mean[f'{r.parcel} {r.hemisphere}'], r.mean, rtol=1e-4, atol=1e-9)
    assert read_npy(asked[0].path/'explain/sub-1/motion_draws.npy').shape == (99, len(table.columns))


def test_the_page_is_one_file(page):
    text = page.read_text(encoding='utf-8')
    assert re.findall(r'(?:src|href|poster|action)="(?!data:|#)[^"]*"', text) == ['href="report.html"']
    assert not re.search(r'url\(|@import|https?:(?!//www\.w3\.org)', re.sub(r'data:[^"]*', '', text))
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and "default-src 'none'" in text


def test_without_targets_there_are_maps_and_no_clips(asked, tmp_path):
    "The page says so, and does not fail."
    import shutil
    study, recon = asked
    from semvideo.core import Study
    other = Study(shutil.copytree(study.path, tmp_path/'other'))
    for f in other.path.glob('explain/sub-1/*_clips.csv'): f.unlink()
    d = brain_page_data(other, 1, recon=recon)
    assert d['clips'] == [] and all(l['parts'] is None for l in d['levels'])
    assert 'no targets' in write_brain_page(other, 1, recon=recon).read_text(encoding='utf-8')


def test_the_report_links_the_page_beside_it(report):
    text, page = report.read_text(encoding='utf-8'), report.with_name('out-brain.html')
    assert re.findall(r'(?:src|href|poster|action)="(?!data:|#)[^"]*"', text) == ['href="out-brain.html"']
    assert page.is_file() and 'href="out.html"' in page.read_text(encoding='utf-8')
    assert text.count('max-width: 640px) and') >= 4 and len(text) < 15e6


def shape(seen, area, side, view=0):
    "Locator of an area's shape on the page."
    i = seen.ask(f"[...document.querySelectorAll('#areas option')].findIndex(o => o.value === '{area} {side}')")
    return seen.page.locator(f'[data-i="{i}"]').nth(view)


def level(seen, name): seen.page.locator('#levels').get_by_role('button', name=name, exact=True).click()


@pytest.mark.slow
@pytest.mark.parametrize('width,scheme', [(1300, 'light'), (800, 'dark'), (390, 'light'), (390, 'dark')])
def test_it_fits_every_width_and_is_quiet(browser, page, width, scheme):
    seen = Seen(browser, page, width, scheme)
    level(seen, 'Motion')
    shape(seen, 'MT', 'left').click()
    seen.page.locator('.card').first.click()
    seen.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert not seen.ask(SIDEWAYS)
    assert seen.ask("getComputedStyle(document.body).backgroundColor").endswith('(251, 250, 248)') == (scheme == 'light')
    assert seen.said == [] and seen.outside == []


@pytest.mark.slow
def test_an_area_tells_its_numbers_under_the_pointer(browser, page, asked):
    seen = Seen(browser, page)
    level(seen, 'Motion')
    assert not seen.page.locator('#tip').is_visible()
    shape(seen, 'MT', 'left').hover()
    said = seen.page.locator('#tip').inner_text()
    roi = read_csv(asked[0].path/'explain/sub-1/motion_roi.csv')
    value = 1e4*roi[(roi.parcel == 'MT') & (roi.hemisphere == 'L')]['mean'].item()
    assert 'MT left, 12 voxels' in said and 'significant' in said and f'Motion: {float(f"{value:.3g}"):g}' in said
    seen.page.mouse.move(5, 5)
    assert not seen.page.locator('#tip').is_visible()


@pytest.mark.slow
def test_an_area_shows_its_clips_and_a_clip_its_areas(browser, page, asked):
    seen, table = Seen(browser, page), parts(asked[0])
    level(seen, 'Motion')
    shape(seen, 'MT', 'left').click()
    assert seen.page.locator('#area-head').inner_text() == 'MT left'
    order = table['MT L'].sort_values(kind='stable')
    told = [t.split(':')[0] for t in seen.page.locator('.card').all_inner_texts()]
    assert told == order.index[::-1][:4].tolist() + order.index[:4].tolist()
    before = seen.ask("document.querySelector('.chosen').style.fill")
    seen.page.locator('.card').first.click()
    best = order.index[-1]
    assert seen.page.locator('#clip-head').inner_text() == best
    chips = seen.page.locator('#clip .chips').first.get_by_role('button').all_inner_texts()
    strongest = table.loc[best].sort_values(ascending=False, kind='stable').index[:6]
    assert [c.rsplit(' ', 1)[0].strip() for c in chips] == [n.replace(' L', ' left').replace(' R', ' right') for n in strongest]
    assert f'The map shows clip {best}' in seen.page.locator('#says').inner_text()
    assert seen.ask("document.querySelector('.chosen').style.fill") != before
    seen.page.locator('#clip .chips').first.get_by_role('button').nth(1).click()
    assert seen.page.locator('#area-head').inner_text() == chips[1].rsplit(' ', 1)[0].strip()
    seen.page.get_by_role('button', name='Whole film').click()
    assert 'The map shows clip' not in seen.page.locator('#says').inner_text()
    time = seen.page.locator('#time')
    box = time.bounding_box()
    time.click(position=dict(x=box['width']*10.5/48, y=box['height'] - 3))
    assert seen.page.locator('#clip-head').inner_text() == table.index[10]
    assert seen.said == []


@pytest.mark.slow
def test_everything_is_reached_by_keyboard(browser, page, asked):
    seen, keys = Seen(browser, page, 390), None
    keys = seen.page.keyboard
    for _ in range(20):
        if seen.ask("document.activeElement.textContent") == 'Motion': break
        keys.press('Tab')
    keys.press('Enter')
    assert seen.ask("document.querySelector('#levels [aria-pressed=true]').textContent") == 'Motion'
    for _ in range(20):
        if seen.ask("document.activeElement.id") == 'brains': break
        keys.press('Tab')
    keys.press('Home')
    says = seen.page.locator('#says')
    assert says.inner_text().startswith('MT ') and '1 of 6' in says.inner_text()
    first = says.inner_text()
    keys.press('ArrowLeft')
    moved = says.inner_text()
    keys.press('ArrowRight')
    assert moved != first and says.inner_text() != moved
    keys.press('Home')
    keys.press('Enter')
    assert seen.page.locator('#area-head').inner_text().startswith('MT ')
    seen.page.locator('#at').focus()
    keys.press('ArrowRight')
    assert seen.page.locator('#clip-head').inner_text() == parts(asked[0]).index[1]
    seen.page.locator('#brains').focus()
    keys.press('Escape')
    assert seen.page.locator('#area-head').inner_text() == 'Area' and seen.page.locator('#clip-head').inner_text() == 'Clip'
    seen.page.locator('#find').fill('v1')
    keys.press('Enter')
    assert seen.page.locator('#area-head').inner_text() == 'V1 left'
    assert seen.said == []


@pytest.mark.slow
def test_the_browser_would_see_a_page_that_is_broken(browser, page):
    text = page.read_text(encoding='utf-8')
    broken = page.with_name('broken.html')
    broken.write_text(text.replace("find('#tip').hidden = true; else tip(", "gone(); else gone(")
                      .replace('</main>', '<div style="width:1500px">x</div></main>'), encoding='utf-8')
    seen = Seen(browser, broken, 390)
    shape(seen, 'MT', 'left').hover()
    assert seen.ask(SIDEWAYS) and any('gone' in s for s in seen.said) and not seen.page.locator('#tip').is_visible()


@pytest.mark.slow
def test_on_a_telephone_the_report_shows_the_narrow_map(browser, report):
    shown = "(() => { const i = document.querySelector('.maps img'); return [i.clientWidth, i.clientHeight/i.clientWidth, i.currentSrc.length]; })()"
    wide, narrow = (Seen(browser, report, w) for w in (1300, 390))
    for s in (wide, narrow): s.page.wait_for_function("document.querySelector('.maps img').complete")
    a, b = wide.ask(shown), narrow.ask(shown)
    assert a[1] < 1 and b[1] > 1.7 and a[2] != b[2]
    narrow.page.locator('.maps a, section a').first.click()
    assert narrow.page.title().endswith('where in the brain')
