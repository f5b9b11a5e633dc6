"""210_backends: captions made elsewhere, files that are none, the register of backends."""
import json
import subprocess
import sys

import numpy as np
import pytest
from semvideo.core import CAPTION_LEVELS
from semvideo.semminer import CaptionStore, ScriptBackend, FileBackend, mine_study, n_words, read_captions
from semvideo.mllm import make_backend
from semminer_help import here, small_study
from mining_help import Counting, Yes, one_line


CAPTION = dict(clip_id='a', **{l: 'x' for l in CAPTION_LEVELS})


@pytest.mark.parametrize('name,content,says', [('c.csv', '', 'cannot be read'), ('c.csv', b'clip_id,basic\n\xe9,x', 'cannot be read'), ('c.parquet', b'', 'cannot be read'), ('c.parquet', b'PAR1junk', 'cannot be read'), ('c.h5', b'junk', 'cannot be read'),
    ('c.json', '"x"', 'not a list'), ('c.json', '{"a": 1}', 'not a list'), ('c.json', '[1, 2]', 'not a list'), ('c.jsonl', '', 'no captions'), ('c.jsonl', '[1, 2]', 'line 1'), ('c.jsonl', b'\xff', 'UTF-8'),
    ('c.jsonl', json.dumps(dict(CAPTION, motion=None)), 'motion is None'), ('c.jsonl', json.dumps(dict(CAPTION, anchor=5)), 'anchor is 5'), ('c.jsonl', json.dumps(dict(CAPTION, clip_id=None)), 'without a clip'),
    ('c.jsonl', json.dumps(CAPTION) + '\n' + json.dumps(CAPTION), 'Two captions'), ('c.csv', 'idx,caption\n0,a\n0,b', 'gaps or repeats'), ('c.csv', 'idx,caption\n0,a\n3,b', 'gaps or repeats'), ('c.csv', 'idx,caption\n0,a\nx,b', 'gaps or repeats')])
def test_caption_files_that_are_none(tmp_path, name, content, says):
    f = tmp_path/name
    f.write_bytes(content if isinstance(content, bytes) else content.encode())
    one_line(lambda: read_captions(f, ['x', 'y'], fill='repeat'), says, name)
    one_line(lambda: read_captions(tmp_path), 'a folder')


def test_numbered_captions_are_numbers(tmp_path):
    "Written as text, ten comes after nine and not after one."
    for n, rows in (('c.csv', 'idx,caption\n' + '\n'.join(f'{i},c{i}' for i in range(12))),
                    ('c.json', json.dumps([dict(idx=str(i), caption=f'c{i}') for i in range(12)]))):
        (tmp_path/n).write_text(rows)
        assert read_captions(tmp_path/n, [f'x{i}' for i in range(12)],
                             fill='repeat').anchor.tolist() == [f'c{i}' for i in range(12)]
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path/'f.h5', 'w') as f: f['x'] = np.zeros(3)
    one_line(lambda: read_captions(tmp_path/'f.h5', list('abc'), fill='repeat'), 'float', 'strings')
    for bad, says in ((dict(CAPTION,
                            clip_id=None), 'without a clip'), (dict(CAPTION,
                                                                    basic=None), 'basic is None')):
        (tmp_path/'s.jsonl').write_text(json.dumps(bad))
        one_line(lambda: ScriptBackend(tmp_path/'s.jsonl'), says, 's.jsonl')


def test_captions_made_elsewhere_are_taken_as_they_are(tmp_path):
    "Not cut, no prompt claimed, and those of an export keep saying what made them."
    study = small_study(tmp_path/'s', n=2, n_test=1)
    rows = [dict(CAPTION, clip_id=c, basic='word '*30) for c in study.clips.clip_id]
    f = tmp_path/'c.jsonl'
    f.write_text('\n'.join(map(json.dumps, rows)))
    mine_study(study, FileBackend(f))
    d = CaptionStore(study.path/'mine/store').frame()
    assert (d.basic.map(n_words) == 30).all() and set(d.prompts) == {''} and set(
        d.model) == {'c.jsonl'} and not (study.path/'mine/prompts.json').exists()
    made = dict(backend='transformers', model='m', revision='r', prompts='mine-1@0',
                decoding='{"greedy": true}', notes='{"basic": {"asked": 2}}', edited='anchor',
                verdict='good')
    f.write_text('\n'.join(json.dumps(dict(r, **made)) for r in rows))
    mine_study(study, FileBackend(f), force=True)
    r = CaptionStore(study.path/'mine/store').frame().iloc[0]
    assert all(r[k] == v
               for k, v in made.items()
               if k not in ('decoding', 'notes')) and r.decoding == dict(
                   greedy=True) and r.notes == dict(basic=dict(asked=2))


def test_files_of_earlier_systems(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path/'m.h5', 'w') as f:
        f['captions'] = np.array([b'a dog runs', b'a cat'], dtype='S20')
    d = read_captions(tmp_path/'m.h5', ['x', 'y'], fill='repeat')
    assert d.motion.tolist() == ['a dog runs', 'a cat'] and d.clip_id.tolist() == ['x', 'y']
    (tmp_path/'n.json').write_text(
        json.dumps([dict(idx=i, caption=f'c{i}', tags=[]) for i in (1, 0)]))
    assert read_captions(tmp_path/'n.json', ['x', 'y'],
                         fill='repeat').anchor.tolist() == ['c0', 'c1']


def test_a_backend_from_outside_needs_one_registration(tmp_path):
    from semvideo.mllm import BACKENDS, backend_needs, register_backend
    said = register_backend('yes', needs=('model',))(Yes)
    try:
        assert said is Yes and backend_needs()['yes'] == ('model',) and list(BACKENDS)[-1] == 'yes'
        study = small_study(tmp_path/'s', n=3, n_test=1)
        assert mine_study(study, make_backend('yes', said='A dog runs.')).finished
        assert set(study.captions('train').motion) == {'A dog runs.'}
        register_backend('yes')(Yes)        # a cell of a notebook that is run again
        one_line(lambda: register_backend('yes')(Counting), 'taken', 'Counting')
        one_line(lambda: make_backend('no'), 'Unknown caption backend', 'yes')
    finally: del BACKENDS['yes']


def test_the_registry_says_what_each_backend_needs_without_its_libraries():
    code = 'import sys; from semvideo.mllm import backend_needs; print(backend_needs()); assert not {"torch", "transformers"} & set(sys.modules)'
    said = subprocess.check_output([sys.executable, '-c', code], text=True, cwd=here.parent).strip()
    assert said == str(
        dict(script=('captions', ), file=('captions', ), transformers=('model', ),
             server=('url', 'model', 'revision'), classifier=()))
