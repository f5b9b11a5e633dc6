"""299_captions: gates over a study with the settings it was mined with, and stores of several models."""
import json

import pytest
from semvideo.core import SemvideoError, write_json
from semvideo.semminer import DEFAULT, ScriptBackend, merge_stores, mine_study
from semvideo.captions import GATES, check_study, compare_stores, load_captions
from semminer_help import small_study
from captions_help import mined as mined


def test_check_study_and_stores_of_several_models(mined, tmp_path):
    table,found = check_study(mined)
    assert list(table.index) == list(GATES) and (
        mined.path/'mine/gates.csv').exists() and table.loc['wrong language', 'clips'] <= 12
    (tmp_path/'y.jsonl').write_text((tmp_path/'x.jsonl').read_text().replace('the car', 'one car'))
    other = small_study(tmp_path/'o')
    mine_study(other, ScriptBackend(tmp_path/'y.jsonl'))
    m = merge_stores(tmp_path/'m', mined.path/'mine/store', other.path/'mine/store')
    assert len(m) == 24
    with pytest.raises(SemvideoError, match='several models'): load_captions(tmp_path/'m')
    (mined.path/'evaluate/sub-1').mkdir(parents=True)
    (mined.path/'evaluate/sub-1/results.csv').write_text(
        'subject,system,metric,variant,value\n1,SemVideo,ssim,,0.5\n1,mean video,ssim,,0.9\n')
    x = compare_stores({'a': mined, 'b': other.path}, prompts=DEFAULT)
    assert x.loc['a', 'ssim'] == .5
    assert x.clips.tolist() == [12, 12] and x.loc['b', 'motion ROUGE-L to first'] < 1


def sealed(record):
    "A record with its own seal, as if it had been written so."
    from semvideo.core import identity
    r = {k: v for k, v in record.items() if k != 'seal'}
    return dict(r, seal=identity(r, 64))


def test_check_study_uses_the_limit_it_was_mined_with(tmp_path):
    study = small_study(tmp_path/'s')
    text = ' '.join(['word']*8)
    (tmp_path/'x.jsonl').write_text('\n'.join(
        json.dumps(
            dict(clip_id=c, basic=text, anchor=f'a {c}', motion=f'{c} moves',
                 holistic=f'{c} moves on')) for c in study.clips.clip_id))
    mine_study(study, ScriptBackend(tmp_path/'x.jsonl'), max_basic_words=10, shard='1/6')
    with pytest.warns(UserWarning, match='9 of 12 clips have no caption yet'):
        t = check_study(study)[0]
    assert t.attrs == dict(clips=12, missing=9) and t.loc['over length', 'basic'] == 0
    b = small_study(tmp_path/'b')
    mine_study(b, ScriptBackend(tmp_path/'x.jsonl'), max_basic_words=30)
    old = b.stages()['mine']
    write_json(b.path/'stages/mine/stage.json',
               sealed(dict(old, config=dict(old['config'], max_basic_words=5))))
    assert check_study(b)[0].loc['over length', 'basic'] == 12
