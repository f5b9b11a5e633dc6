"""085_plugins, 140_segments, 169_datasets: the register of data sets."""
import os
import subprocess
import sys

import pytest
from semvideo import datasets as D
from semvideo.core import SemvideoError, Study
from data_help import sums


def installed(folder, name, body):
    """A package of somebody else, as pip would have left it: a module, and an entry point that names it."""
    (folder/f'{name}.py').write_text(body)
    info = folder/f'{name}-1.0.dist-info'
    info.mkdir()
    (info/'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
    (info/'entry_points.txt').write_text(f'[semvideo.plugins]\n{name} = {name}\n')


THEIRS = """
from semvideo.datasets import dataset, option, prepare_cc2017
@dataset('theirs', pace=option('frames a second (default: 4)', type=float, metavar='F'))
def prepare_theirs(root, out, pace=4., **settings):
    "A layout of somebody else."
    print('pace', pace)
    return prepare_cc2017(root, out, **settings)
"""


def test_a_data_set_of_another_package_needs_one_registration(cc, cc_study, tmp_path):
    """Found by its entry point, without torch; it prepares; one that does not import is left out and
    said."""
    installed(tmp_path, 'theirs', THEIRS)
    installed(tmp_path, 'broken', "import not_there_at_all")
    code = f"""
import sys, warnings
sys.path.insert(0, {str(tmp_path)!r})
from semvideo import datasets as D
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter('always')
    known = D.known_datasets()
print([n for n in known if n != 'theirs'], known['theirs'].options, 'torch' in sys.modules)
print([str(w.message) for w in said])
known['theirs'].prepare({str(cc)!r}, {str(tmp_path/"s")!r}, pace=2., subjects=(1,), n_frames=2, size=16)
"""
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    assert r.returncode == 0, r.stderr[-800:]
    names, said, pace = r.stdout.splitlines()
    assert names == "['table', 'cc2017', 'hcp', 'bids'] {'pace': {'type': <class 'float'>, 'metavar': 'F', 'help': 'frames a second (default: 4)'}} False"
    assert 'broken' in said and 'not_there_at_all' in said and pace == 'pace 2.0'
    assert sums(Study(tmp_path/'s')) == sums(cc_study)


def test_what_a_data_set_offers_is_what_its_function_takes():
    import argparse, inspect
    for name, d in D.DATASETS.items():
        assert d.name == name and d.prepare is getattr(D, f'prepare_{name}')
        assert set(d.options) <= set(inspect.signature(d.prepare).parameters)
        p = argparse.ArgumentParser()
        for o, how in d.options.items(): p.add_argument('--' + o.replace('_', '-'), **how)
        assert all(o in p.format_help().replace('-', '_') for o in d.options)


def test_a_registration_that_cannot_be_meant_is_refused():
    def prepare_mine(root, out, pace=4.): pass
    before = dict(D.DATASETS)
    with pytest.raises(SemvideoError, match='pase') as e:
        D.dataset('mine', pase=D.option('a typo'))(prepare_mine)
    assert 'root, out, pace' in str(e.value)
    with pytest.raises(SemvideoError, match='Another data set is called cc2017'):
        D.dataset('cc2017')(prepare_mine)
    with pytest.raises(SemvideoError, match='Not a name for a dataset'):
        D.dataset('my data/set')(prepare_mine)
    assert D.DATASETS == before
