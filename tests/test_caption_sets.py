"""278_caption_files, 290_caption_sets: an export is read by `datasets`, comes back identical, and an import believes nothing."""
import hashlib
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from semvideo.core import SemvideoError, CAPTION_LEVELS
from semvideo.semminer import DEFAULT, mine_study
from semvideo.captions import Review, check_study, export_captions, import_captions, load_captions, reviews_path
from semminer_help import small_study
from captions_help import fails, mined as mined


def test_export_loads_with_datasets_and_comes_back_identical(mined, tmp_path):
    datasets = pytest.importorskip('datasets')
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    ds = datasets.load_dataset(str(out), cache_dir=str(tmp_path/'cache'))
    back = import_captions(out)
    assert {s: len(d) for s,d in ds.items()} == dict(train=8, test=4)
    for s in back:
        assert ds[s].to_pandas().astype(str).values.tolist() == back[s].values.tolist(
        ) == pd.read_json(out/'data'/f'{s}.jsonl', lines=True, dtype=False,
                          convert_dates=False).astype(str).values.tolist()
        assert back[s][[
            'clip_id', *CAPTION_LEVELS
        ]].values.tolist() == mined.captions(s).values.tolist() and (
            back[s].clip_sha.str.len() == 64).all() and (back[s].backend == 'script').all()
    assert (export_captions(mined, tmp_path/'se2', licence='cc0-1.0')/
            'SHA256SUMS').read_bytes() == (out/'SHA256SUMS').read_bytes()
    assert subprocess.run(['sha256sum', '-c', '--quiet', 'SHA256SUMS'], cwd=out).returncode == 0
    import jsonschema
    schema = json.loads((out/'schema.json').read_text())
    [
        jsonschema.validate(json.loads(l), schema)
        for l in (out/'data/test.jsonl').read_text(encoding='utf-8').split('\n')
        if l
    ]


def test_the_card_is_a_card(mined, tmp_path):
    from datasets import load_dataset_builder
    import yaml
    out = export_captions(mined, tmp_path/'se', 'Mine', licence='cc0-1.0')
    _,front,body = (out/'README.md').read_text().split('---\n', 2)
    y = yaml.safe_load(front)
    assert y['license'] == 'cc0-1.0' and y['configs'][0]['data_files'] == [
        dict(split=s, path=f'data/{s}.parquet') for s in ('train', 'test')
    ]
    assert [l for l in body.splitlines() if l.startswith('#')] == [
        '# Mine', '## Columns', '## What this is not', '## Rights'
    ] and '| train | 8 |' in body and 'script' in body
    assert load_dataset_builder(str(out), cache_dir=str(tmp_path/'cache')).config.name == 'default'


def test_import_into_a_study(mined, tmp_path):
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    other = small_study(tmp_path/'other')
    import_captions(out, other)
    assert all((other.path/f'captions/{s}.csv').read_bytes() == (mined.path/
                                                                 f'captions/{s}.csv').read_bytes()
               for s in mined.splits)


def test_exports_that_were_changed(mined, tmp_path):
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    def fails(f, *parts):
        with pytest.raises(SemvideoError) as e: f()
        assert all(p in str(e.value) for p in parts), str(e.value)
    f = out/'data/train.jsonl'
    old = f.read_bytes()
    f.write_bytes(old[:-40])
    fails(lambda: import_captions(out), 'was changed', 'train.jsonl')
    f.unlink()
    fails(lambda: import_captions(out), 'missing')
    f.write_bytes(old)
    import_captions(out)
    (out/'SHA256SUMS').unlink()
    fails(lambda: import_captions(out), 'missing')
    c = json.loads((out/'captions.json').read_text())
    (out/'captions.json').write_text(json.dumps(dict(c, version=9)))
    fails(lambda: import_captions(out), 'version 9')
    fails(lambda: import_captions(tmp_path), 'captions.json')


def resum(out):
    "Checksums made again, as someone who edits an export on purpose would."
    (out/'SHA256SUMS').write_text(''.join(
        f'{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(out).as_posix()}\n'
        for p in sorted(out.rglob('*'))
        if p.is_file() and p.name != 'SHA256SUMS'))


def edit_rows(out, change, parquet=True):
    f = out/'data/train.jsonl'
    rows = [json.loads(l) for l in f.read_text(encoding='utf-8').split('\n') if l]
    change(rows)
    f.write_text(''.join(json.dumps(r) + '\n' for r in rows), encoding='utf-8')
    if parquet: pd.DataFrame(rows).to_parquet(out/'data/train.parquet', index=False)
    resum(out)


def edit_facts(out, change):
    f = out/'captions.json'
    d = json.loads(f.read_text())
    f.write_text(json.dumps(change(d)))
    resum(out)


def set_splits(d, s): return dict(d, splits=s)


TAMPERED = dict(
    emptied=(lambda o: (o/'SHA256SUMS').write_text(''), 'not in its checksums'),
    unlisted=(lambda o:
              (o/'SHA256SUMS').write_text(''.join(l for l in
                                                  (o/'SHA256SUMS').read_text().splitlines(True)
                                                  if 'test.parquet' not in l)),
              'no line for data/test.parquet'), malformed=(lambda o: (o/'SHA256SUMS').write_text(
                  (o/'SHA256SUMS').read_text() + 'abc  README.md\n'), 'line 8'),
    outside=(lambda o: (o/'SHA256SUMS').write_text(
        (o/'SHA256SUMS').read_text() + '0'*64 + '  ../x\n'), '../x'),
    extra=(lambda o: shutil.copy(o/'data/test.jsonl', o/'data/more.jsonl'),
           'data/more.jsonl'), unknown=(lambda o: edit_rows(o, lambda r: r[2].update(evil='x')),
                                        'row 3: unknown evil'),
    lacking=(lambda o: edit_rows(o, lambda r: r[0].pop('motion')),
             'row 1: no motion'), null=(lambda o: edit_rows(o, lambda r: r[1].update(anchor=None)),
                                        'row 2: anchor is None'),
    number=(lambda o: edit_rows(o, lambda r: r[1].update(anchor=3), False), 'anchor is 3'),
    differ=(lambda o: edit_rows(o, lambda r: r[0].update(anchor='other'), False),
            'parquet of a split differ'), fewer=(lambda o: edit_rows(o, lambda r: r.pop()),
                                                 'captions.json counts'),
    notes=(lambda o: edit_rows(o, lambda r: r[0].update(notes='[1]')),
           'notes'), twice=(lambda o: edit_rows(o, lambda r: r[0].update(clip_id='c01')),
                            'Two captions for one clip'), latin=(lambda o: (
                                (o/'data/train.jsonl').write_bytes(b'\xff\xfe'), resum(o)),
                                                                 'in UTF-8'),
    evil=(lambda o: edit_facts(o, lambda d: set_splits(d, {'../../evil': 1})),
          "'../../evil'"), listed=(lambda o: edit_facts(o, lambda d: [d]), 'list'),
    without=(lambda o: edit_facts(o, lambda d: {
        k: v
        for k, v in d.items()
        if k != 'splits'
    }), 'splits'), counted=(lambda o: edit_facts(o, lambda d: set_splits(d, {'train': '8'})),
                            'splits'), garbage=(lambda o: (
                                (o/'data/train.parquet').write_bytes(b'x'), resum(o)),
                                                'Not a parquet'))


@pytest.mark.parametrize('how', TAMPERED)
def test_an_import_believes_nothing(mined, tmp_path, how):
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    import_captions(out)
    change,says = TAMPERED[how]
    change(out)
    other = small_study(tmp_path/'other')
    fails(lambda: import_captions(out, other), says, 'file:',
          'expected:' if how not in ('latin0', 'garbage') else 'do:', 'do:')
    assert not (other.path/'mine').exists()


def test_checksums_of_either_form_and_splits_in_order(mined, tmp_path):
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    f = out/'SHA256SUMS'
    f.write_bytes(f.read_text().replace('  ', ' *').replace('\n', '\r\n').encode())
    assert list(import_captions(out)) == ['train', 'test']
    fails(lambda: import_captions(out/'captions.json'), 'Not a folder')
    fails(lambda: import_captions(tmp_path/'none'), 'Folder not found')


def test_an_import_wants_the_frames_it_was_made_of(mined, tmp_path):
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    other = small_study(tmp_path/'other', seed=1)
    fails(lambda: import_captions(out, other), 'other frames', 'c00')
    assert not (other.path/'mine').exists()
    import_captions(out, other, allow_other_frames=True)
    assert other.captions('test').equals(mined.captions('test'))
    fails(lambda: import_captions(out, small_study(tmp_path/'more', n=14)),
          'have no caption in the export')


@pytest.mark.parametrize('name', ['a: "b" # c', "it's - [x]\n# y", '---', 'null', 'näïve\u2028 汉 \\ "'])
def test_any_name_makes_a_card_that_loads(mined, tmp_path, name):
    from datasets import load_dataset
    import yaml
    splits = {
        c: 'train.a_1' if i < 6 else '1' if i < 9 else 'true'
        for i, c in enumerate(load_captions(mined).clip_id)
    }
    out = export_captions(mined, tmp_path/'se', name, licence='other: #x',
                          description='---\n"x": 1', splits=splits)
    y = yaml.safe_load((out/'README.md').read_text(encoding='utf-8').split('\n---\n')[0])
    assert (y['pretty_name'], y['license']) == (name, 'other: #x') and {
        s: len(d)
        for s, d in load_dataset(str(out), cache_dir=str(tmp_path/'cache')).items()
    } == {
        'train.a_1': 6,
        '1': 3,
        'true': 3
    }


@pytest.mark.parametrize('split', ['../evil', 'a/b', 'a-b', 'a b', '', 'all', '.', 'a..b', 'a.', 'é', 3, None])
def test_names_that_no_split_may_have(mined, tmp_path, split):
    fails(
        lambda: export_captions(mined, tmp_path/'se', licence='cc0-1.0', splits=dict.fromkeys(
            load_captions(mined).clip_id, split)), 'Not a name for a split', repr(split))
    assert not (tmp_path/'se').exists()


@pytest.mark.parametrize('licence', [None, '', '  '])
def test_a_licence_is_the_users_to_give(mined, tmp_path, licence):
    fails(lambda: export_captions(mined, tmp_path/'se', licence=licence), 'needs a licence')
    assert not (tmp_path/'se').exists()


def test_an_export_replaces_an_export_and_nothing_else(mined, tmp_path, monkeypatch):
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    (out/'mine.txt').write_text('x')
    (out/'data/.y.part').write_text('x')
    one = dict.fromkeys(load_captions(mined).clip_id, 'one')
    export_captions(mined, out, licence='cc0-1.0', splits=one)
    listed = (out/'SHA256SUMS').read_text()
    assert 'train' not in listed and 'mine.txt' not in listed and 'part' not in listed and not (
        out/'data/train.jsonl').exists() and (out/'mine.txt').read_text() == 'x' and list(
            import_captions(out)) == ['one']
    before = {p: p.read_bytes() for p in out.rglob('*') if p.is_file()}
    import semvideo.caption_sets as C
    monkeypatch.setattr(C, '_write_split', lambda *a:
                        (_ for _ in ()).throw(OSError(28, 'No space left on device')))
    fails(lambda: export_captions(mined, out, licence='cc0-1.0'), 'Cannot write')
    assert before == {
        p: p.read_bytes()
        for p in out.rglob('*')
        if p.is_file()
    } and [p.name for p in tmp_path.iterdir() if 'part' in p.name] == []
    monkeypatch.undo()
    d = tmp_path/'full'
    d.mkdir()
    (d/'thesis.tex').write_text('x')
    fails(lambda: export_captions(mined, d, licence='cc0-1.0'), 'holds other files', 'thesis.tex')
    fails(lambda: export_captions(mined, d/'thesis.tex', licence='cc0-1.0'), 'Not a folder')


def test_an_import_keeps_what_made_the_captions(tmp_path):
    """Mined with prompts and a limit of one's own, reviewed, exported, imported into another copy of the
    study, exported again: the same bytes, and the same judgement by the gates."""
    from semvideo.semminer import Answer, Backend
    class Looks(Backend):
        name,model,revision = 'looks', 'someone/model', 'abc'
        def open(self, frames, key, system):
            self.n = int(frames.astype(np.int64).sum())
            return self
        def ask(self, level, prompt):
            return Answer(f'{"A red car drives slowly along a wide grey road while " * 3}{self.n} '
                          f'people watch it.' if level ==
                          'basic' else f'The {level} of thing {self.n} moves to the left.')
    prompts = DEFAULT.replace(version='mine-1', system='Be brief.')
    a,b = small_study(tmp_path/'a'), small_study(tmp_path/'b')
    mine_study(a, Looks(), prompts=prompts, max_basic_words=40)
    Review(load_captions(a), reviews_path(a), only=['c01']).decide('good', anchor='A better one.')
    one = export_captions(a, tmp_path/'one', licence='cc0-1.0')
    import_captions(one, b)
    two = export_captions(b, tmp_path/'two', licence='cc0-1.0')
    assert {
        f.name: f.read_bytes()
        for f in (one/'data').iterdir()
    } == {
        f.name: f.read_bytes()
        for f in (two/'data').iterdir()
    } and (one/'prompts.json').read_bytes() == (two/'prompts.json').read_bytes()
    d = load_captions(b).set_index('clip_id')
    assert set(d.model) == {'someone/model'} and set(d.prompts) == {
        f'mine-1@{prompts.hash}'
    } and d.loc['c01',
                ['edited', 'verdict', 'anchor']].tolist() == ['anchor', 'good', 'A better one.']
    x, y = (f[(f.gate != 'duplicate') & (f.clip_id != 'c01')]
            for f in (check_study(a)[1], check_study(b)[1]))
    assert not (x.gate == 'over length').any() and y.values.tolist() == x.values.tolist() and len(x)
