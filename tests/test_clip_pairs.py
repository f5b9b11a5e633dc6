"""558_clip_pairs: both sides of a score, whatever holds them, aligned and of one shape, or refused in words."""
import numpy as np, pytest
from semvideo.core import SemvideoError
from semvideo import stats as S
from stats_help import discs
from folders_help import write

@pytest.mark.parametrize('kind,tol', [('npy', 0), ('png', 0), ('mp4', 12), ('gif', 6)])
def test_every_format_gives_the_clips_back(tmp_path, kind, tol):
    t = discs(11)
    f = write(tmp_path/'p', t, kind)
    assert list(S.list_clips(f)) == [f'test{i+1}' for i in range(11)]
    names,r,tt = S.load_pairs(f, write(tmp_path/'t', t, 'npy'), folder=tmp_path)
    assert r.shape == t.shape and abs(np.asarray(r).astype(int) -
                                      t).mean() <= tol and np.array_equal(tt, t)

def test_alignment(tmp_path):
    a = {f'r{i}': i for i in (1, 2, 10)}
    b = {f'gt_{i:03d}': i for i in (1, 2, 10)}
    assert [x[1:] for x in S.align(a, b, 'number')] == [
        (1, 1), (2, 2), (10, 10)
    ] and [x[1:] for x in S.align(a, b, 'order')] == [(1, 1), (2, 2), (10, 10)]
    for f, says in ((lambda: S.align(a, b), 'do not match by name'),
                    (lambda: S.align({'r1': 1}, b, 'number'), '2 of 3 truths without'),
                    (lambda: S.align(a, {'gt_1': 1}, 'number'),
                     'without a truth'), (lambda: S.align({'r1': 1}, b, 'order'),
                                          'different numbers'), (lambda: S.align({
                                              'a1': 1,
                                              'b1': 2
                                          }, b, 'number'), 'not unique')):
        with pytest.raises(SemvideoError, match=says): f()

def test_an_array_beside_a_folder_needs_as_many_clips(tmp_path):
    np.save(tmp_path/"a.npy", np.zeros((3, 4, 8, 8, 3), np.uint8))
    (tmp_path/"f").mkdir()
    np.save(tmp_path/"f/x.npy", np.zeros((4, 8, 8, 3), np.uint8))
    for pair in ((tmp_path/"a.npy", tmp_path/"f"), (tmp_path/"f", tmp_path/"a.npy")):
        with pytest.raises(SemvideoError, match="number of clips"): S.load_pairs(*pair)
