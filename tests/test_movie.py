"""movie: opened safely, every kind of bad file, the right way up."""
import os, subprocess, sys, tempfile
import av, numpy as np, pytest
from films_help import audio_only, turned, with_matrix, FIELDS
from semvideo import video
from semvideo.core import SemvideoError

@pytest.mark.parametrize('make,says', [(None, 'not found'), (lambda p: p.write_bytes(b''), 'empty'), (lambda p: p.write_bytes(b'not a movie '*500), 'cannot be decoded'), (audio_only, 'no picture')])
def test_bad_files(tmp_path, make, says):
    p = tmp_path/'bad.mp4'
    if make: make(p)
    for f in (lambda: video.read_clip(p, 0, 1, 2), lambda: video.read_clips(p, [0], 1, 2),
              lambda: video.probe(p)):
        with pytest.raises(SemvideoError, match=says) as e: f()
        assert 'bad.mp4' in str(e.value)

def test_truncated_movie(tmp_path, numbered_film):
    p = tmp_path/'cut.mp4'
    b = numbered_film.read_bytes()
    p.write_bytes(b[:len(b)//2])
    with pytest.raises(SemvideoError, match='cannot be decoded|shorter'):
        video.read_clips(p, np.arange(8)*2, 2, 4)

@pytest.mark.parametrize('a', [np.zeros((3, 4, 4)), np.zeros((3, 4, 4, 3)), np.zeros((0, 4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)])
def test_write_refuses_what_is_no_video(tmp_path, a):
    with pytest.raises(SemvideoError, match='Not a video'):
        video.write_video(tmp_path/'x.mp4', a)
    assert not list(tmp_path.iterdir())

def test_disk_full_leaves_nothing(tmp_path):
    "A file-size limit stands for a full disk: the write fails part of the way."
    code = f'''
import resource, signal, numpy as np
from semvideo import by_number, video
from semvideo.core import SemvideoError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try: video.write_video({str(tmp_path/"x.mp4")!r}, np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), np.uint8))
except SemvideoError as e: print("said:", e.problem)
'''
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'said: Cannot write' in r.stdout, r.stdout + r.stderr
    assert not list(tmp_path.iterdir())

def test_no_permission():
    """A folder that may be read but not written; as root, by giving root up.
    Not in pytest's own folder: another pytest that starts makes that private again."""
    with tempfile.TemporaryDirectory() as d:
        code = f'''
import av, fractions, os, numpy as np
from semvideo import by_number, video
from semvideo.core import SemvideoError
if os.getuid() == 0: os.setuid(65534)
try: video.write_video({d + "/no/x.mp4"!r}, np.zeros((2, 8, 8, 3), np.uint8))
except SemvideoError as e: print("said:", e.problem)
'''
        os.chmod(d, 0o755)
        os.mkdir(d + '/no', 0o555)
        r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
        assert 'said: Cannot write: Permission denied' in r.stdout and not os.listdir(
            d + '/no'), r.stdout + r.stderr

def test_the_same_frames_give_the_same_bytes(tmp_path):
    """Whatever lay in memory before: x264's macroblock tree is off, which read memory it had not
    written."""
    yy, xx = np.mgrid[:64, :64]
    a = np.stack([
        np.stack([(xx*3 + 2*i) % 256, (yy*4 + 3*i) % 256, (xx*yy // 8 + i) % 256], -1)
        for i in range(90)
    ]).astype(np.uint8)
    r = np.random.default_rng(0)
    seen = set()
    for i in range(40):
        junk = [np.full(int(r.integers(1, 10**6)), r.integers(255), np.uint8) for _ in range(3)]
        del junk
        seen.add(video.write_video(tmp_path/"x.mp4", a, 30, crf=14).read_bytes())
    assert len(seen) == 1

@pytest.mark.parametrize('text', ['ffconcat version 1.0\nfile a.mp4\n', '#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n', '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'])
def test_a_film_that_reads_other_files_is_not_opened(tmp_path, text):
    """A list that points at another film would read whatever lies there; the same bytes as a film are
    refused."""
    video.write_video(tmp_path/'a.mp4',
                      np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8), 4)
    p = tmp_path/'film.mp4'
    p.write_text(text)
    import av
    if text.startswith('ffconcat'):
        with av.open(str(p)) as box: assert box.streams.video # unguarded, it is opened
    for f in (lambda: video.probe(p), lambda: video.read_clip(p, 0, 1, 2)):
        with pytest.raises(SemvideoError, match='film.mp4'): f()

@pytest.mark.parametrize('quarter', [0, 1, 2, 3])
def test_a_film_is_shown_as_a_player_shows_it(tmp_path, quarter):
    p = tmp_path/'phone.mp4'
    want = turned(p, quarter)[:2]
    i = video.probe(p)
    assert (i['height'], i['width']) == want.shape[1:3]
    from semvideo.folders import movie_frames
    for got in (video.read_clip(p, 0, .5, 2), video.read_clips(p, [0.], .5, 2)[0], movie_frames(p)[:2]):
        assert got.shape == want.shape and np.abs(got.astype(int) - want).mean() < 8
    small = video.read_clip(p, 0, .5, 2, size=(32, 16))
    assert small.shape == (2, 32, 16, 3)

def drawn(picture, matrix):
    "What a player draws: the pixel at (x, y) stands at (x, y) times the matrix."
    h,w = picture.shape[:2]
    y,x = np.mgrid[:h, :w]
    to = np.stack([x.ravel(), y.ravel()], 1) @ np.asarray(matrix)
    to -= to.min(0)
    out = np.zeros((*(to.max(0) + 1)[::-1], 3), np.uint8)
    out[to[:, 1], to[:, 0]] = picture.reshape(-1, 3)
    return out

EIGHT = [[[a, 0], [0, d]] for a in (1, -1) for d in (1, -1)] + [[[0, b], [c, 0]] for b in (1, -1) for c in (1, -1)]

@pytest.mark.parametrize('matrix', EIGHT)
def test_the_eight_ways_to_show_a_film(tmp_path, matrix):
    from semvideo.folders import movie_frames
    p, want = with_matrix(tmp_path/'film.mp4', matrix), drawn(FIELDS[0], matrix)
    info = video.probe(p)
    assert (info['height'], info['width']) == want.shape[:2]
    for got in (video.read_clip(p, 0, 1, 2), video.read_clips(p, [0.], 1, 2)[0], movie_frames(p)):
        assert all(f.shape == want.shape and np.abs(f.astype(int) - want).mean() < 8 for f in got)
    small = video.read_clip(p, 0, 1, 1, size=(8, 8), fit='squash')[0]
    assert np.abs(small[::7, ::7].astype(int) - want[2::want.shape[0] - 5, 2::want.shape[1] - 5]).max() < 60

@pytest.mark.parametrize('matrix', EIGHT)
def test_a_model_is_shown_a_film_as_a_player_shows_it(tmp_path, matrix):
    "`mine --movie`: what the backend gets to see."
    from mining_help import Yes
    from semvideo.semminer import mine_movie
    class Seen(Yes):
        def open(self, frames, *rest):
            self.frames = np.asarray(frames)
            return self
    p, want, seen = with_matrix(tmp_path/'film.mp4', matrix), drawn(FIELDS[0], matrix), Seen()
    assert mine_movie(p, seen, tmp_path/'store', clip_s=1).new == 1
    assert all(f.shape == want.shape and np.abs(f.astype(int) - want).mean() < 8 for f in seen.frames)

def test_the_eight_ways_are_eight(tmp_path):
    shown = {drawn(FIELDS[0], m).tobytes() for m in EIGHT}
    assert len(shown) == 8

def test_a_matrix_of_another_scale_shows_the_same(tmp_path):
    p = with_matrix(tmp_path/'film.mp4', np.array([[0, 2], [-2, 0]]))
    assert video.orientation(next(av.open(str(p)).decode(video=0))) == (True, False, True)

@pytest.mark.parametrize('matrix,bottom', [([[.707, .707], [-.707, .707]], (0, 0)), ([[1, .5], [0, 1]], (0, 0)), ([[1, 1], [0, 1]], (0, 0)), ([[0, 0], [0, 0]], (0, 0)), ([[1, 0], [1, 0]], (0, 0)), ([[1, 0], [0, .5]], (0, 0)), ([[-1, 0], [0, 1]], (9, 0))])
def test_angles_and_shears_are_refused(tmp_path, matrix, bottom):
    from semvideo.folders import movie_frames
    p = with_matrix(tmp_path/'film.mp4', matrix, bottom)
    for f in (lambda: video.probe(p), lambda: video.read_clip(p, 0, 1, 2),
              lambda: video.read_clips(p, [0.], 1, 2), lambda: movie_frames(p)):
        with pytest.raises(SemvideoError, match='odd angle or sheared') as e: f()
        assert 'film.mp4' in str(e.value)
