"""760_captions_verbs: the verb `captions` on a study, a store and an export."""
import json
import shutil
from pathlib import Path

import pytest
from semvideo.semminer import CaptionStore, ScriptBackend, mine_study
from semvideo.captions import export_captions, import_captions, unique_names
from semminer_help import small_study
from captions_help import mined as mined


@pytest.fixture
def verb(capsys):
    from semvideo.cli import main
    def run(*words):
        capsys.readouterr()
        rc = main(['captions', *map(str, words)])
        said = capsys.readouterr()
        assert 'Traceback' not in said.err
        return rc, said.out, said.err
    return run


def test_the_verb_on_a_study_a_store_and_an_export(mined, tmp_path, verb):
    assert verb('export', '--study', mined.path, '--out',
                tmp_path/'no')[2].count('--licence') and not (tmp_path/'no').exists()
    out = tmp_path/'se'
    assert verb('export', '--study', mined.path, '--out', out, '--licence',
                'cc0-1.0')[0] == 0 and 'cc0-1.0' in (out/'README.md').read_text()
    store = mined.path/'mine/store'
    for src in (mined.path, store, out):
        rc,said,_ = verb('check', '--study', src)
        assert rc == 0 and 'preamble' in said and '12 clips have a caption' in said
        rc,said,_ = verb('stats', '--study', src)
        assert rc == 0 and ('CLIP-S' in said.split('no CLIP-S')[0]) == (src == mined.path) and (
            'no CLIP-S' in said) == (src != mined.path)
    for action,more in (('check', ()), ('stats', ()), ('compare', ('--others', out))):
        rows = json.loads(verb(action, '--study', mined.path, *more, '--json')[1])
        assert len(rows) > 1 and all(isinstance(r, dict) for r in rows), action
    assert {r['table'] for r in json.loads(verb('stats', '--study', store, '--json')[1])} == {4, 5}
    assert 'no table' in verb('export', '--study', mined.path, '--out', tmp_path/'no', '--licence', 'x', '--json')[2]
    for models,says in (('hub', 'cannot be fetched'), (tmp_path/'none', 'none')):
        rc,_,err = verb('stats', '--study', store, '--models', models)
        assert rc == 2 and says in err
    assert verb(
        'export', '--study', store, '--out', tmp_path/'of_store', '--licence', 'x')[0] == verb(
            'export', '--study', out, '--out', tmp_path/'of_export', '--licence', 'x')[0] == 0
    assert list(import_captions(tmp_path/'of_store')) == ['train'] and list(
        import_captions(tmp_path/'of_export')) == ['train', 'test']
    rc,_,err = verb('check', '--study', tmp_path)
    assert rc == 2 and 'No captions here' in err


def test_the_verb_compares_folders_of_one_name(mined, tmp_path, verb):
    for k in 'ab':
        (tmp_path/k).mkdir()
        shutil.copytree(mined.path/'mine/store', tmp_path/k/'store')
    f = tmp_path/'b/store/1-of-1.jsonl'
    f.write_bytes(b''.join(f.read_bytes().splitlines(True)[:7]))
    rc,said,_ = verb('compare', '--study', tmp_path/'a/store', '--others', tmp_path/'b/store')
    assert rc == 0 and 'a/store' in said and 'b/store' in said and '5 clips of a/store' in said
    assert verb('compare', '--study', tmp_path/'a/store')[0] == 2 and verb(
        'compare', '--study', mined.path, '--others', mined.path)[0] == 2
    assert list(unique_names(['x/m/run', 'y/m/run',
                              'run'])) == ['x/m/run', 'y/m/run', f'{Path.cwd().name}/run']


def test_the_verb_merges_and_imports(mined, tmp_path, verb):
    other = small_study(tmp_path/'o', seed=2)
    mine_study(other, ScriptBackend(tmp_path/'x.jsonl'))
    rc, said, _ = verb('merge', '--study', tmp_path/'m', '--others', mined.path,
                       other.path/'mine/store')
    assert rc == 0 and '24 captions of 12 clips' in said and len(CaptionStore(tmp_path/'m')) == 24
    rc,_,err = verb('merge', '--study', tmp_path/'n', '--others', tmp_path)
    assert rc == 2 and 'Not a caption store' in err and not (tmp_path/'n').exists()
    out = export_captions(mined, tmp_path/'se', licence='cc0-1.0')
    rc,_,err = verb('import', '--study', mined.path, '--out', out)
    assert rc == 2 and '--force' in err
    assert verb('import', '--study', mined.path, '--out', out,
                '--force')[0] == 0 and mined.settings_of('mine')['backend'] == 'file'
    rc,_,err = verb('import', '--study', other.path, '--out', out, '--force')
    assert rc == 2 and '--allow-other-frames' in err
    assert verb('import', '--study', other.path, '--out', out, '--force',
                '--allow-other-frames')[0] == 0


def test_the_verb_says_what_is_missing(tmp_path, verb):
    study = small_study(tmp_path/'s')
    (tmp_path/'x.jsonl').write_text('\n'.join(
        json.dumps(
            dict(clip_id=c, basic='b', anchor=f'a {c}', motion=f'{c} moves',
                 holistic=f'{c} moves on')) for c in study.clips.clip_id))
    mine_study(study, ScriptBackend(tmp_path/'x.jsonl'), shard='1/6')
    rc,said,_ = verb('check', '--study', study.path)
    assert rc == 0 and '3 clips have a caption, 9 of the study have none yet' in said
