"""Files that others' tools read: BIDS, conda, issue forms, citation, typing."""
import json
import re
from configparser import ConfigParser
from pathlib import Path

import pandas as pd
import pytest
from semvideo import __version__
from semvideo.core import Study

root = Path(__file__).resolve().parents[1]
settings = ConfigParser(delimiters=['='])
settings.read(root/'settings.ini', encoding='utf-8')
settings = settings['DEFAULT']
CONDA = {'torch': 'pytorch', 'opencv-python-headless': 'opencv', 'open_clip_torch': 'open-clip-torch'}


def name_and_range(line):
    "'torch>=2.10,<2.14; marker' to ('torch', '>=2.10,<2.14')."
    name, span = re.match(r'([\w.-]+)\s*(.*)', line.split(';')[0].strip()).groups()
    return name, span.strip()


def test_a_study_says_what_it_is_to_bids_tools(tmp_path):
    row = dict(clip_id=['a'], split=['train'], segment=['x'], onset_s=[0.], duration_s=[2.], source=['x'])
    Study.create(tmp_path/'s', 'own', 'a film of mine', pd.DataFrame(row), {})
    d = json.loads((tmp_path/'s/dataset_description.json').read_text())
    assert d['DatasetType'] == 'derivative' and d['Name'] == 'own' and re.fullmatch(r'1\.\d+\.\d+', d['BIDSVersion'])
    assert d['GeneratedBy'][0]['Name'] == 'semvideo' and d['GeneratedBy'][0]['Version'] == __version__
    assert 'a film of mine' in d['HowToAcknowledge']


def test_the_conda_recipe_asks_for_what_settings_ask_for():
    text = (root/'conda/meta.yaml').read_text()
    assert f'{{% set version = "{settings["version"]}" %}}' in text
    run = text.split('  run:\n')[1].split('\n\n')[0]
    has = dict(name_and_range(l.strip()[2:]) for l in run.splitlines())
    want = dict(name_and_range(l) for l in settings['requirements'].splitlines() if l.strip())
    want = {CONDA.get(k, k): v for k, v in want.items()} | {'python': '>=' + settings['min_python']}
    assert has == want


def test_issue_forms_can_be_read():
    yaml = pytest.importorskip('yaml')
    forms = sorted((root/'.github/ISSUE_TEMPLATE').glob('*.yml'))
    assert len(forms) >= 3
    for file in forms:
        form = yaml.safe_load(file.read_text())
        if file.stem == 'config': continue
        assert form['name'] and form['description'], file
        for part in form['body']:
            assert part['type'] in ('textarea', 'dropdown', 'markdown', 'input', 'checkboxes'), (file, part)
            assert part['attributes'].get('label') or part['attributes'].get('value'), (file, part)


def test_citation_and_typing_and_conduct_are_there():
    yaml = pytest.importorskip('yaml')
    cite = yaml.safe_load((root/'CITATION.cff').read_text())
    assert cite['version'] == settings['version'] and cite['license'] == 'Apache-2.0' and cite['preferred-citation']['year'] == 2026
    assert (root/'semvideo/py.typed').is_file() and 'Contributor Covenant' in (root/'CODE_OF_CONDUCT.md').read_text()
