"""220_store: lines that are torn, damaged or of another run; a disk that is full."""
import pytest
from semvideo.core import write_json
from semvideo.semminer import CaptionStore, merge_stores, mine_study
from semminer_help import small_study
from mining_help import Yes, one_line


def test_answers_that_cannot_be_written_are_made_so(tmp_path):
    study = small_study(tmp_path/'s', n=2, n_test=1)
    assert mine_study(study, Yes('A \ud83d man\x00 runs.')).finished and study.captions(
        'test').motion[0].endswith('man\x00 runs.')


def test_stores_that_disagree_or_are_none(tmp_path):
    for n,t in (('a', 'x'), ('b', 'y')):
        with CaptionStore(tmp_path/n, n) as s:
            s.append(dict(key='k', clip_id='c', basic=t))
    one_line(lambda: merge_stores(tmp_path/'m', tmp_path/'a', tmp_path/'b'), 'disagree', 'clip c')
    one_line(lambda: merge_stores(tmp_path/'m', tmp_path/'nope'), 'Not a caption store', 'nothing')
    (tmp_path/'a/b.jsonl').write_bytes((tmp_path/'b/b.jsonl').read_bytes())
    one_line(lambda: merge_stores(tmp_path/'m', tmp_path/'a'), 'disagree')
    with CaptionStore(tmp_path/'r', '1') as s:
        s.append(dict(key='k', clip_id='c', basic='x', notes={}))
    with CaptionStore(tmp_path/'q', '1') as s:
        s.append(dict(key='k', clip_id='c', basic='x', notes=dict(basic=dict(retries=2))))
    # asked twice is no disagreement
    assert merge_stores(tmp_path/'1', tmp_path/'r', tmp_path/'q').rows == merge_stores(
        tmp_path/'2', tmp_path/'q', tmp_path/'r').rows


@pytest.mark.parametrize('line', [b'[1, 2]', b'5', b'null', b'{"sum": 1}', b'{"key": ["a"], "sum": "x"}', b'\xff\xfe', b'['*100_000, b'{"key": "a"}'])
def test_damaged_lines_of_a_store(tmp_path, line):
    study = small_study(tmp_path/'s', n=3, n_test=1)
    mine_study(study, Yes())
    f = study.path/'mine/store/1-of-1.jsonl'
    f.write_bytes(line + b'\n' + f.read_bytes())
    out = mine_study(study, Yes())
    assert out.finished and out.had == 3 and out.torn == 1 and '1 damaged' in repr(out)


def test_stores_that_cannot_be_read_or_written(tmp_path):
    (tmp_path/'file').write_text('')
    one_line(lambda: CaptionStore(tmp_path/'file'), 'a file', 'a folder')
    for bad in ([1], 'x'):
        write_json(tmp_path/'st/store.json', bad)
        one_line(lambda: CaptionStore(tmp_path/'st'), 'another version')
    (tmp_path/'d/x.jsonl').mkdir(parents=True)
    assert len(CaptionStore(tmp_path/'d')) == 0
    s = CaptionStore(tmp_path/'file2')
    (tmp_path/'file2').write_text('')
    one_line(lambda: s.append(dict(key='a')), 'Cannot write into')


def test_a_full_disk_stops_the_run(tmp_path, monkeypatch):
    st = CaptionStore(tmp_path/'s')
    st.append(dict(key='a', clip_id='a'))
    class Full:
        name = 'x'
        def write(self, b): raise OSError(28, 'No space left on device')
        def close(self): pass
    st.close()
    st._file = Full()
    one_line(lambda: st.append(dict(key='b')), 'No space', 'continues')
    assert 'b' not in st
