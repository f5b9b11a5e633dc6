"""285_review: a decision is about the texts it saw, and no command loses it."""
import json

import pandas as pd
import pytest
from semvideo.core import Study
from semvideo.semminer import ScriptBackend, mine_study
from semvideo.captions import (
    Review, export_captions, import_captions, load_captions, read_reviews, review_study, reviews_path)
from semminer_help import small_study
from captions_help import fails, mined as mined


def test_a_review_of_a_study_goes_into_its_export(mined, tmp_path):
    from semvideo.captions import review_study
    w = review_study(mined, only=['c01', 'c09'])
    assert bytes(w.video.value[4:8]) == b'ftyp' and w.review.ids == ['c01', 'c09']
    w.texts['anchor'].value = 'A better "anchor".'
    w.buttons['good'].click()
    w.buttons['bad'].click()
    again = review_study(mined, only=['c01'])
    # kept beside the store, by another session too
    assert again.texts['anchor'].value == 'A better "anchor".' and 'good' in again.title.value
    d = pd.concat(
        import_captions(export_captions(mined, tmp_path/'se',
                                        licence='cc0-1.0')).values()).set_index('clip_id')
    assert d.loc['c01', ['anchor', 'edited', 'verdict']].tolist() == [
        'A better "anchor".', 'anchor', 'good'
    ] and d.loc['c09', ['edited', 'verdict']].tolist() == ['', 'bad'] and (d.edited
                                                                           != '').sum() == 1
    assert 'A better' not in load_captions(mined).anchor.str.cat() # the mined text is as it was
    other = small_study(tmp_path/'other')
    import_captions(tmp_path/'se', other)
    assert 'A better "anchor".' in other.captions('train').anchor.tolist()


def test_a_decision_is_about_the_texts_it_saw(mined, tmp_path):
    w = review_study(mined, only=['c01', 'c02'])
    w.texts['anchor'].value = 'A better one.'
    w.buttons['good'].click()
    w.texts['motion'].value = 'typed'
    w.buttons['back'].click()
    # kept on moving
    assert read_reviews(reviews_path(mined))['c02']['edits'] == {
        'motion': 'typed'
    } and w.review.clip_id == 'c01'
    rows = [json.loads(l) for l in (tmp_path/'x.jsonl').read_text().split('\n')]
    rows[1]['holistic'] += ' and more'
    (tmp_path/'x.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    mine_study(mined, ScriptBackend(tmp_path/'x.jsonl'), force=True)
    assert reviews_path(mined).exists() # --force of mine does not take it
    with pytest.warns(UserWarning, match='1 decisions are of an earlier caption and not applied: c01'):
        d = pd.concat(
            import_captions(export_captions(mined, tmp_path/'se',
                                            licence='cc0-1.0')).values()).set_index('clip_id')
    assert d.loc['c01', ['edited', 'verdict']].tolist() == [
        '', ''
    ] and 'better' not in d.loc['c01', 'anchor'] and d.loc['c02', 'motion'] == 'typed'
    assert review_study(mined, only=['c01']).review.earlier == ['c01']


def test_force_on_the_command_line_keeps_reviews_of_earlier_versions(mined, tmp_path):
    from semvideo.cli import main
    (mined.path/'mine'/
     'reviews.jsonl').write_text('{"clip_id": "c01", "verdict": "good", "edits": {}}\n')
    assert main([
        'mine', '--study',
        str(mined.path), '--backend', 'script', '--captions',
        str(tmp_path/'x.jsonl'), '--force', '--quiet'
    ]) == 0 and read_reviews(reviews_path(mined))['c01']['verdict'] == 'good'


def test_force_of_prepare_leaves_reviews(mined):
    from semvideo.cli import renew_study
    clips = mined.clips
    review_study(mined, only=['c01']).buttons['bad'].click()
    renew_study(mined.path, lambda p: Study.create(p, 'anew', 'x', clips))
    assert read_reviews(
        reviews_path(mined))['c01']['verdict'] == 'bad' and not (mined.path/'mine').exists()


def test_reviews_of_earlier_versions_are_read_and_moved(mined, tmp_path):
    old = mined.path/'mine/reviews.jsonl'
    old.write_text(
        '{"clip_id": "c03", "edits": {"anchor": "old edit"}, "verdict": "good"}\n{"clip_id": '
        '"c04", "edi')
    with pytest.warns(UserWarning, match='cut off'):
        d = pd.concat(
            import_captions(export_captions(mined, tmp_path/'se',
                                            licence='cc0-1.0')).values()).set_index('clip_id')
    assert d.loc['c03', ['anchor', 'edited', 'verdict']].tolist() == ['old edit', 'anchor', 'good']
    w = review_study(mined, only=['c03'])
    assert w.texts['anchor'].value == 'old edit' and not old.exists() and (
        mined.path/'mine/reviews.torn').read_text() == '{"clip_id": "c04", "edi\n'


BAD_LINES = [
    '{"verdict": "good"}', '5', '[1]', '{"clip_id": "c", "edits": null}',
    '{"clip_id": "c", "edits": {"motion": 5}}', '{"clip_id": "c", "edits": {"mood": "x"}}',
    '{"clip_id": "c", "verdict": "maybe"}', '{"clip_id": 3}', 'x', '{"clip_id": "c", "of": 1}'
]


@pytest.mark.parametrize('line', BAD_LINES)
def test_a_bad_line_of_a_review_is_named(tmp_path, line):
    f = tmp_path/'r.jsonl'
    f.write_text('{"clip_id": "a", "verdict": "good"}\n' + line + '\n')
    fails(lambda: read_reviews(f), 'line 2', 'r.jsonl', 'do:')
    f.write_text('{"clip_id": "a", "verdict": "good"}\n' + line) # torn: the last line, without its end
    with pytest.warns(UserWarning, match='cut off'): d = read_reviews(f)
    assert dict(d) == {'a': dict(verdict='good', edits={})} and d.torn == line


def test_a_torn_line_is_not_glued_to_the_next(tmp_path):
    f = tmp_path/'r.jsonl'
    d = pd.DataFrame([dict(clip_id='a', basic='b', anchor='c', motion='d', holistic='e')])
    f.write_text('{"clip_id": "a", "verdict": "good"}\n{"clip_id": "a", "ed')
    with pytest.warns(UserWarning): r = Review(d, f)
    r.decide('bad')
    assert read_reviews(f)['a']['verdict'] == 'bad' and (
        tmp_path/'r.torn').read_text() == '{"clip_id": "a", "ed\n'
    f.write_text('{"clip_id": "a", "verdict": "good"}')
    r.decide(None, anchor='x')
    # whole but for its end: kept
    assert dict(read_reviews(f)) == {'a': dict(verdict='good', edits={'anchor': 'x'})}
