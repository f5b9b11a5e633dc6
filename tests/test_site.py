"""The site's own pages: start page, gallery, glossary, differences; what every page of it rests on: title cells, equations, themes."""
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

root = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(root/'tools'))
notebooks = sorted(p for p in (root/'nbs').rglob('*.ipynb') if not p.name.startswith('_') and '.ipynb_checkpoints' not in p.parts)


def prose(path):
    "Sources of the markdown cells of a notebook."
    return [''.join(c['source']) for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'markdown']


def links(text):
    "Where a text links to on the site, without places in pages."
    return [link.split('#')[0] for link in re.findall(r'\]\((?!\w+:|#)([^)]+)\)', text)]


def test_title_cells_hold_nothing_that_the_site_would_drop():
    from nb import title_and_rest
    assert title_and_rest('# A\n\n> b\n\nProse\n') == ('# A\n\n> b', 'Prose\n') and title_and_rest('# A\n> b') == ('# A\n> b', '')
    assert title_and_rest('# A\n\nProse') == ('# A', 'Prose') and title_and_rest('Prose') == ('Prose', '')
    dropped = [p.name for p in notebooks if any(title_and_rest(src)[1] for src in prose(p)[:1])]
    assert not dropped, f'python tools/nb.py titles: {dropped}'


# -- start page

def test_the_start_page_opens_on_a_moving_strip():
    strip, text = root/'nbs/images/strip.webp', '\n'.join(prose(root/'nbs/index.ipynb'))
    assert strip.stat().st_size < 700_000
    with Image.open(strip) as im: assert (im.n_frames, im.info['loop']) == (8, 0) and im.size[0] > 800
    order = [text.index(part) for part in ('images/strip.webp', '## Two commands', '## Three doors', '**Reconstruct**', '**Score your own**', '**Read the method**')]
    assert order == sorted(order)
    assert 'nbs/images/strip.webp' in (root/'README.md').read_text(encoding='utf-8')


def test_numbers_of_the_start_page_are_those_of_the_recorded_demo():
    results = json.loads((root/'tests/results/demo.json').read_text())['results']
    text = prose(root/'nbs/index.ipynb')[1]
    of = lambda question, system='SemVideo': f'{100*results[question][system]["value"]:.0f} %'
    assert f'right colour in {of("colour")} and the right kind of thing in {of("kind")}' in text.replace('\n', ' ')
    assert f'of the {results["direction"]["SemVideo"]["n"]} that move, {of("direction")} move in the right direction; chance is 12.5 %' in text
    others = [of(q, 'shuffled fMRI') for q in ('colour', 'kind', 'direction')]
    assert '{} , {} and {}'.format(*others).replace(' ,', ',') in text
    assert all(results[q]['SemVideo']['chance'] == .125 for q in ('colour', 'kind', 'direction'))


# -- glossary

TERMS = ['grayordinate', 'noise ceiling', 'N-way accuracy', 'EPE', 'CLIP-pcc', 'VIFI-score', 'lag', 'anchor', 'motion', 'holistic', 'null',
         'effective number of clips, n_eff', 'block, blocked interval', 'spin', 'BOLD', 'parcel', 'SAD', 'MAD', 'CVR', 'SemMiner', 'Refineformer', 'SoftCLIP',
         'MixCo', 'trust card', 'shuffle test', 'identification', 'miniature', 'bundle', 'stage', 'study', 'strict profile', 'paper profile', 'ceiling', 'chance',
         'Haufe pattern', 'occlusion', 'text state', 'latent', 'TR', 'repeat', 'reliability', 'read-out', 'posterior', 'verb', 'door']


def glossary():
    "Rows of the glossary: (term, what is meant, link)."
    return re.findall(r'^\| \*\*(.+?)\*\* \| (.+?) \| \[.+?\]\((.+?)\) \|$', '\n'.join(prose(root/'nbs/glossary.ipynb')), re.M)


def test_the_glossary_is_sorted_and_has_the_words_of_the_rooms():
    terms = [term for term, _, _ in glossary()]
    assert terms == sorted(terms, key=str.casefold) and len(set(map(str.casefold, terms))) == len(terms)
    assert not set(TERMS) - set(terms), set(TERMS) - set(terms)
    rows = re.findall(r'^\| \*\*', '\n'.join(prose(root/'nbs/glossary.ipynb')), re.M)
    assert len(rows) == len(terms), 'a row of the glossary cannot be read'


def test_what_the_glossary_says_is_one_sentence_and_its_room_speaks_of_it():
    for term, meaning, link in glossary():
        assert len(meaning) < 160 and '. ' not in meaning and not meaning.endswith('.'), term
        room = root/'nbs'/link
        assert room.is_file(), f'{term}: {link}'
        text = '\n'.join(''.join(c['source']) for c in json.loads(room.read_text(encoding='utf-8'))['cells']).casefold()
        words = [re.sub(r'[^\w-]', '', w)[:6] for w in re.split(r'[ ,-]+', term.casefold()) if len(w) > 1]
        assert any(w in text for w in words), f'{link} does not speak of {term}'


# -- links of the pages

@pytest.mark.parametrize('name', ['index', 'gallery', 'glossary', 'differences'])
def test_links_of_a_page_lead_to_files(name):
    found = links('\n'.join(prose(root/f'nbs/{name}.ipynb')))
    assert found and not [l for l in found if not (root/'nbs'/l).is_file()]


def test_the_site_check_finds_a_broken_anchor_and_a_page_that_llms_txt_lacks(tmp_path):
    import docs_check
    (tmp_path/'a.html').write_text('<h2 id="here">x</h2><a href="#here">1</a><a class="c" href="b.html#there">2</a><a href="b.html#gone">3</a>')
    (tmp_path/'b.html').write_text('<h2 id="there">x</h2><a href="https://elsewhere.org/#no">4</a>')
    assert docs_check.broken_anchors(tmp_path) == ['a.html: broken anchor b.html#gone']
    assert docs_check.unlisted_by_models(tmp_path) == ['llms.txt is not in the site']
    base = re.search(r'site-url: "(.*)"', (root/'nbs/nbdev.yml').read_text())[1]
    (tmp_path/'llms.txt').write_text(f'- [A]({base}/a.html.md)\n- [C]({base}/c.html.md)\n')
    assert docs_check.unlisted_by_models(tmp_path) == ['llms.txt: b.html is only on one side', 'llms.txt: c.html is only on one side']


def test_the_gallery_keeps_its_pictures():
    cells = json.loads((root/'nbs/gallery.ipynb').read_text(encoding='utf-8'))['cells']
    kept = ''.join(''.join(o['data'].get('text/html', '')) for c in cells for o in c.get('outputs', []))
    assert len(re.findall(r'<img src="data:image/webp;base64,[^"]+" alt="[^"]+', kept)) == 4 and 'best 1 of 240' in kept and 'worst 1 of 240' in kept


# -- what every page rests on

def equations(text):
    "Formulas of a markdown text, outside code."
    text = re.sub(r'`[^`]*`', '', re.sub(r'```.*?```', '', text, flags=re.S))
    return re.findall(r'\$\$.+?\$\$|(?<![\\$])\$(?=\S)[^$\n]+?(?<=\S)\$(?!\d)', text, re.S)


def to_mathml(formulas):
    "HTML with MathML, and what pandoc could not turn into it."
    import pypandoc
    command = [pypandoc.get_pandoc_path(), '-f', 'markdown', '-t', 'html', '--mathml']
    r = subprocess.run(command, input='\n\n'.join(formulas), capture_output=True, text=True)
    return r.stdout, r.stderr


def test_every_equation_is_drawn_without_a_script():
    pytest.importorskip('pypandoc')
    assert 'html-math-method: mathml' in (root/'_quarto.yml').read_text()
    formulas = [f for p in notebooks for src in prose(p) for f in equations(src)]
    html, complaints = to_mathml(formulas)
    assert len(formulas) > 50 and not complaints, complaints[:600]
    assert html.count('<math ') == len(formulas), 'a formula was not read as one'
    assert 'Could not convert' in to_mathml([r'$\frac{a$'])[1]


def test_themes_ask_nobody_for_fonts():
    smalldocs = pytest.importorskip('smalldocs')
    config = (root/'_quarto.yml').read_text()
    names = [re.search(rf'^      {mode}: (\w+)$', config, re.M)[1] for mode in ('light', 'dark')]
    assert len(set(names)) == 2
    vendor = Path(smalldocs.__file__).parent/'assets/vendor'
    imports = lambda name: re.findall(r'@import[^;]*https?:', (vendor/name).read_text())
    assert imports('bootswatch/cosmo.min.css') # the check sees one
    for name in names:
        assert not imports('bootstrap/bootstrap.min.css' if name == 'default' else f'bootswatch/{name}.min.css'), name
    assert '.quarto-dark' in (root/'nbs/styles.css').read_text()


def test_the_sidebar_begins_with_the_pages_and_folds_its_chapters():
    side = (root/'nbs/sidebar.yml').read_text()
    order = [side.index(part) for part in ('index.ipynb', 'gallery.ipynb', 'differences.ipynb', 'glossary.ipynb', 'Tutorials', '0 Ground')]
    assert order == sorted(order) and 'collapse-level: 1' in (root/'_quarto.yml').read_text()
