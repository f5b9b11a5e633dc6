"Frames by presentation time, against numbered films, another decoder, and every kind of bad file."
import os, struct, subprocess, sys, tempfile
from fractions import Fraction
from pathlib import Path
import av, numpy as np, pytest
from semvideo import video
from semvideo.core import SemvideoError

def numbered(i, h=48, w=64):
    bits = (i >> np.arange(12) & 1).reshape(3, 4).astype(np.uint8)*235 + 10
    return np.repeat(np.kron(bits, np.ones((h//3, w//4), np.uint8))[..., None], 3, 2)

def number_of(f):
    h,w = f.shape[:2]
    return int((((f[h//6::h//3, w//8::w//4].mean(-1)) > 127).ravel()*(1 << np.arange(12))).sum())

def write(path, times, clock=600, codec='libx264', fmt=None, size=(48, 64), **options):
    "Numbered frames at the given seconds."
    with av.open(str(path), 'w', format=fmt) as box:
        st = box.add_stream(codec, rate=30)
        st.height, st.width = size
        st.pix_fmt = options.pop('pix_fmt', 'yuv420p')
        st.options = options
        st.codec_context.time_base = Fraction(1, clock)
        for i,t in enumerate(times):
            f = av.VideoFrame.from_ndarray(numbered(i, 48, 64)[:size[0], :size[1]].copy(), 'rgb24')
            f.pts, f.time_base = round(t*clock), Fraction(1, clock)
            box.mux(st.encode(f))
        box.mux(st.encode())
    return path

def expected(path, times, ask, clock=600):
    """Number of the frame shown at each asked second; the margin is half a tick of the file's own clock,
    and a microsecond."""
    with av.open(str(path)) as box: tick = float(box.streams.video[0].time_base)
    shown = np.round(np.asarray(times)*clock)/clock
    return [int((shown <= t + .5*tick + 1.1e-6).sum()) - 1 for t in ask]

@pytest.fixture(scope='module')
def film(tmp_path_factory):
    return video.write_video(
        tmp_path_factory.mktemp('v')/'film.mp4', np.stack([numbered(i) for i in range(480)]), 30)

@pytest.mark.parametrize('name,fmt,clock', [('a.mp4', None, 600), ('b.mkv', None, 1000), ('c.ts', 'mpegts', 90000)])
@pytest.mark.parametrize('rate', [24, 30, 30000/1001])
def test_every_container_and_rate(tmp_path, name, fmt, clock, rate):
    t = np.arange(120)/rate; p = write(tmp_path/name, t, clock, fmt=fmt, g='12')
    asked = video.sample_times([0, 1, 2.5], 1, 8).ravel()
    got = [number_of(f) for f in video.read_clips(p, [0, 1, 2.5], 1, 8).reshape(-1, 48, 64, 3)]
    want = expected(p, t, asked, clock)
    assert got == want
    assert [number_of(f) for f in video.read_clip(p, 2.5, 1, 8)] == want[16:]

def test_first_time_stamp_need_not_be_zero(tmp_path):
    with av.open(str(write(tmp_path/'a.ts', np.arange(60)/30, 90000, fmt='mpegts'))) as box:
        assert box.streams.video[0].start_time > 0
    assert [number_of(f) for f in video.read_clip(tmp_path/'a.ts', 1, .5, 3)] == [30, 35, 40]

@pytest.mark.parametrize('seed', range(4))
def test_variable_frame_rate(tmp_path, seed):
    rng = np.random.default_rng(seed)
    t = np.r_[0, np.cumsum(rng.integers(3, 240, 150)/600)]
    p = write(tmp_path/'v.mp4', t, g='25')
    assert video.probe(p)['variable']
    starts = rng.uniform(0, t[-1] - 1, 12)
    got = video.read_clips(p, starts, 1, 6)
    for c,s in zip(got, starts):
        want = expected(p, t, s + np.arange(6)/6)
        assert [number_of(f) for f in c] == want and (video.read_clip(p, s, 1, 6) == c).all()

def test_clips_overlap_and_come_in_any_order(film):
    starts = [7, 0, 1.5, 1, 14]
    a = video.read_clips(film, starts, 2, 5, size=(24, 40))
    assert a.shape == (5, 5, 24, 40, 3)
    for c,s in zip(a, starts):
        assert (c == video.read_clip(film, s, 2, 5, size=(24, 40))).all()

def test_same_frames_as_decord(film):
    decord = pytest.importorskip('decord')
    r = decord.VideoReader(str(film))
    t = r.get_frame_timestamp(range(len(r)))[:, 0]
    for s in (0, 3, 9.4):
        idx = [int((t <= x + 1e-4).sum()) - 1 for x in video.sample_times(s, 2, 6)[0]]
        ours, theirs = video.read_clip(film, s, 2, 6), r.get_batch(idx).asnumpy()
        assert [number_of(f)
                for f in ours] == [number_of(f)
                                   for f in theirs] and np.abs(ours.astype(int) - theirs).mean() < 4

def whole(path, starts, d, n):
    "The same clips with every frame decoded."
    times = video.sample_times(starts, d, n)
    with video._movie(path) as (box, st):
        return np.stack([
            f.to_ndarray(format='rgb24')
            for _, f in video._pick(video._shown(box, st), st, np.sort(times, None), path)
        ]).reshape(*times.shape, 48, 64, 3)

@pytest.mark.parametrize('options,fewer', [(dict(bf='3'), True), (dict(bf='0'), False), ({'x264-params': 'bframes=5:b-pyramid=strict:open-gop=1:keyint=30'}, True), ({'x264-params': 'bframes=2:weightp=0:slices=3'}, True)])
def test_leaving_out_frames_nothing_refers_to_changes_no_other(tmp_path, options, fewer):
    p = write(tmp_path/'b.mp4', np.arange(300)/30, **options)
    starts, times = np.arange(4)*2., video.sample_times(np.arange(4)*2., 2, 4).ravel()
    marks, n = video._marks(p, times), []
    with video._movie(p, 1) as (box, st):
        assert [f.pts for f in video._decode_only(box, st, set(marks))] == marks
    with video._movie(p, 1) as (box, st):
        for k in box.demux(st):
            st.codec_context.skip_frame = 'DEFAULT' if k.pts is None or k.pts in marks else 'NONREF'
            n += k.decode()
    assert (len(n) < 250) == fewer
    assert (video.read_clips(p, starts, 2, 4) == whole(p, starts, 2, 4)).all()

@pytest.mark.parametrize('name', ['tears_of_steel', 'car_park', 'bottles'])
def test_real_films_as_a_whole_pass_shows_them(name):
    "Natural films beside the checkout, each by other hands and encoders."
    root = Path(__file__).resolve().parents[1]
    p = next((f for d in (Path(os.environ.get('SEMVIDEO_CLIPS', 'none')),
                          *[r/n/'clips'
                            for r in root.parents
                            for n in ('', 'shared')]) if (f := d/f'{name}.mp4').exists()), None)
    if p is None: pytest.skip('no folder of films')
    starts = np.arange(0, 28, 1.7)
    times = np.sort(video.sample_times(starts, 2, 5), None)
    assert video._marks(p, times) is not None
    with video._movie(p, 1) as (box, st):
        want = [
            f.to_ndarray(format='rgb24')
            for _, f in video._pick(video._shown(box, st), st, times, p)
        ]
    got = [f.to_ndarray(format='rgb24') for _,f in video._pick_fast(p, times, 1)]
    assert len(got) == len(want) == 85 and all((a == b).all() for a,b in zip(got, want))

@pytest.mark.parametrize('codec,options', [('mpeg4', dict(bf='2')), ('libx265', {'x265-params': 'log-level=none'}), ('libvpx-vp9', dict(deadline='realtime')), ('mpeg2video', dict(bf='2'))])
def test_other_codecs_are_decoded_whole(tmp_path, codec, options):
    if codec not in av.codecs_available: pytest.skip(f'this PyAV has no {codec}')
    t = np.arange(120)/30
    p = write(tmp_path/'a.mkv', t, 1000 if codec != 'mpeg2video' else 30, codec, **options)
    asked = video.sample_times([0, 2.5], 1, 8)
    assert video._marks(p, asked.ravel()) is None
    assert [number_of(f) for f in video.read_clips(p, [0, 2.5], 1, 8).reshape(-1, 48, 64, 3)
            ] == expected(p, t, asked.ravel(), 1000)

def test_frames_promised_but_not_given_are_looked_up_in_the_whole_film(tmp_path):
    """A broadcast cut in the middle of a group of pictures: its first packets have times, but cannot be
    decoded."""
    p = write(tmp_path/'a.ts',
              np.arange(300)/30, 90000, fmt='mpegts', g='60', bf='2',
              **{'x264-params': 'scenecut=0'})
    b = p.read_bytes()
    p.write_bytes(b[len(b)//4//188*188:])
    starts, marks = np.arange(3)*2., video._marks(p,
                                                  video.sample_times(np.arange(3)*2., 2, 5).ravel())
    with video._movie(p) as (box, st): given = {f.pts for f in box.decode(st)}
    assert not set(marks) <= given
    assert (video.read_clips(p, starts, 2, 5) == whole(p, starts, 2, 5)).all()

def test_a_broken_frame_is_an_error(tmp_path):
    p = write(tmp_path/'b.mp4', np.arange(300)/30, bf='2', g='30')
    with av.open(str(p)) as box:
        at = [(k.pos, k.size) for k in box.demux(video=0) if k.size]
    b = bytearray(p.read_bytes())
    for pos,size in at[100:104]: b[pos + 4:pos + size] = bytes(size - 4)
    p.write_bytes(b)
    for f in (video.read_clips, whole):
        with pytest.raises(SemvideoError, match='cannot be decoded'):
            f(p, np.arange(4)*2., 2, 30)

def test_threads_do_not_change_frames(film):
    a = [video.read_clips(film, np.arange(8)*2, 2, 4, size=32, threads=k) for k in (1, 3)]
    assert (a[0] == a[1]).all()

def test_fit(tmp_path):
    x = np.zeros((30, 48, 96, 3), np.uint8)
    x[:, :, :24] = 250
    p = video.write_video(tmp_path/'w.mp4', x, 30)
    crop, squash = (video.read_clip(p, 0, .5, 1, size=48, fit=f)[0] for f in ('crop', 'squash'))
    assert crop[:, :8].mean() < 20 and squash[:, :8].mean() > 200
    with pytest.raises(SemvideoError, match='Unknown fit'):
        video.read_clip(p, 0, .5, 1, size=48, fit='stretch')

@pytest.mark.parametrize('h,w', [(47, 63), (48, 63), (47, 64)])
def test_odd_sizes(tmp_path, h, w):
    p = video.write_video(tmp_path/'o.mp4', np.stack([numbered(i)[:h, :w] for i in range(9)]), 3)
    assert video.read_clip(p, 0, 3, 9).shape == (9, h + h % 2, w + w % 2, 3)
    q = write(tmp_path/'odd.mp4', np.arange(9)/3, size=(h, w), pix_fmt='yuv444p')
    c = video.read_clip(q, 0, 3, 9)
    assert c.shape == (9, h, w, 3) and abs(int(c[5].mean()) - int(numbered(5)[:h, :w].mean())) < 6

# ---- bad files, one by one
def audio_only(p):
    with av.open(str(p), 'w') as box:
        st = box.add_stream('aac', rate=16000)
        f = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), 'fltp', 'mono')
        f.sample_rate = 16000
        box.mux(st.encode(f))
        box.mux(st.encode())

@pytest.mark.parametrize('make,says', [(None, 'not found'), (lambda p: p.write_bytes(b''), 'empty'), (lambda p: p.write_bytes(b'not a movie '*500), 'cannot be decoded'), (audio_only, 'no picture')])
def test_bad_files(tmp_path, make, says):
    p = tmp_path/'bad.mp4'
    if make: make(p)
    for f in (lambda: video.read_clip(p, 0, 1, 2), lambda: video.read_clips(p, [0], 1, 2),
              lambda: video.probe(p)):
        with pytest.raises(SemvideoError, match=says) as e: f()
        assert 'bad.mp4' in str(e.value)

def test_truncated_movie(tmp_path, film):
    p = tmp_path/'cut.mp4'
    b = film.read_bytes()
    p.write_bytes(b[:len(b)//2])
    with pytest.raises(SemvideoError, match='cannot be decoded|shorter'):
        video.read_clips(p, np.arange(8)*2, 2, 4)

def test_too_short(film):
    assert video.read_clip(film, 14, 2, 8).shape[0] == 8
    for f in (video.read_clip, lambda p,s,d,n: video.read_clips(p, [0, s], d, n)):
        with pytest.raises(SemvideoError, match='shorter') as e: f(film, 15, 2, 8)
        assert '16.000 s' in str(e.value)

@pytest.mark.parametrize('a', [np.zeros((3, 4, 4)), np.zeros((3, 4, 4, 3)), np.zeros((0, 4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)])
def test_write_refuses_what_is_no_video(tmp_path, a):
    with pytest.raises(SemvideoError, match='Not a video'):
        video.write_video(tmp_path/'x.mp4', a)
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('start,dur,n', [(-1, 2, 4), (0, 0, 4), (0, 2, 0)])
def test_no_clip(film, start, dur, n):
    with pytest.raises(SemvideoError, match='Not a clip'):
        video.read_clip(film, start, dur, n)
    with pytest.raises(SemvideoError, match='start none'):
        video.read_clips(film, [], 2, 4)

def test_disk_full_leaves_nothing(tmp_path):
    "A file-size limit stands for a full disk: the write fails part of the way."
    code = f'''
import resource, signal, numpy as np
from semvideo import video
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
from semvideo import video
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

def test_import_is_light():
    subprocess.run([
        sys.executable, '-c',
        'import sys, semvideo.video; assert not {"av", "torch", "cv2", "pandas"} '
        '& set(sys.modules)'
    ], check=True)

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

def turned(p, quarter):
    """A film of four coloured fields, shown turned by `quarter` clockwise turns: the matrix of its track
    header is set by hand."""
    f = np.zeros((12, 64, 96, 3), np.uint8)
    f[:, :32, :48] = (200, 30, 30)
    f[:, :32, 48:] = (30, 200, 30)
    f[:, 32:, :48] = (30, 30, 200)
    f[:, 32:, 48:] = (200, 200, 30)
    b = bytearray(video.write_video(p, f, 12, crf=1).read_bytes())
    k = b.find(b'tkhd')+4
    k += 40 if b[k] == 0 else 52
    one = 65536
    m = [(one, 0, 0, one, 0, 0), (0, one, -one, 0, 64 << 16, 0),
         (-one, 0, 0, -one, 96 << 16, 64 << 16), (0, -one, one, 0, 0, 96 << 16)][quarter]
    b[k:k+36] = struct.pack('>9i', m[0], m[1], 0, m[2], m[3], 0, m[4], m[5], 1 << 30)
    p.write_bytes(b)
    return np.rot90(f, -quarter, (1, 2))

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

FIELDS = np.zeros((4, 32, 64, 3), np.uint8)
FIELDS[:, :16, :32] = (200, 30, 30)
FIELDS[:, :16, 32:] = (30, 200, 30)
FIELDS[:, 16:, :32] = (30, 30, 200)
FIELDS[:, 16:, 32:] = (200, 200, 30)

def with_matrix(p, matrix, bottom=(0, 0)):
    "Four coloured fields, the matrix of their track header set by hand."
    words = lambda m, v: struct.pack('>9i', *(round(65536*x) for x in (m[0][0], m[0][1])), v[0],
                                     *(round(65536*x) for x in (m[1][0], m[1][1])), v[1], 0, 0, 1 << 30)
    b = video.write_video(p, FIELDS, 4, crf=1).read_bytes()
    before, after = b.rsplit(words(np.eye(2), (0, 0)), 1)
    p.write_bytes(before + words(matrix, bottom) + after)
    return p

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

def test_a_film_whose_size_changes(tmp_path):
    "Two broadcasts joined: frames of two sizes fit together only at a size that was asked for."
    from semvideo.folders import movie_frames
    a = write(tmp_path/'a.ts', np.arange(30)/30, 90000, fmt='mpegts')
    b = write(tmp_path/'b.ts', 1 + np.arange(30)/30, 90000, fmt='mpegts', size=(32, 64))
    p = tmp_path/'film.ts'
    p.write_bytes(a.read_bytes() + b.read_bytes())
    for f in (lambda: video.read_clip(p, 0, 2, 4), lambda: video.read_clips(p, [0.], 2, 4), lambda: movie_frames(p)):
        with pytest.raises(SemvideoError, match='film.ts'): f()
    assert video.read_clip(p, 0, 2, 4, size=16).shape == (4, 16, 16, 3)

@pytest.mark.parametrize('start,length,n', [(0, float('nan'), 2), (float('nan'), 1, 2), (0, float('inf'), 2), (0, 1, 0), (0, 1, -1)])
def test_times_that_are_none(tmp_path, start, length, n):
    with pytest.raises(SemvideoError, match='Not a clip'):
        video.sample_times(start, length, n)

# ---- decord: the reader where it is exact, and nowhere else

def clips_folder():
    root = Path(__file__).resolve().parents[1]
    places = [Path(os.environ.get('SEMVIDEO_CLIPS', 'none')),
              *[r/n/'clips' for r in root.parents for n in ('', 'shared')]]
    return next((d for d in places if (d/'car_park.mp4').exists()), None)

def kept(p, threads=1):
    info = p.stat()
    return video._kept_open(str(p), (info.st_mtime_ns, info.st_size), threads, os.getpid())

def same_with_both(p, n=25, seed=0, threads=1, length=.7):
    "Clips at random seconds, in random order, with either reader; their bytes, or what is said."
    def ask(t, reader):
        try: return video.read_clip(p, t, length, 4, threads=threads, reader=reader)
        except SemvideoError as e: return str(e)
    end = video.probe(p)['seconds'] + .1
    for t in np.random.default_rng(seed).uniform(0, end, n):
        ours, theirs = ask(t, 'pyav'), ask(t, 'decord')
        assert type(ours) is type(theirs) and np.array_equal(ours, theirs), (p, t)

EXACT = {
    'mp4': ('a.mp4', dict(g='12')), 'mkv': ('a.mkv', dict(g='12', clock=1000)), 'B-frames': ('a.mp4', dict(bf='3')),
    'slices': ('a.mp4', {'x264-params': 'bframes=2:weightp=0:slices=3'}), '4:4:4': ('a.mp4', dict(pix_fmt='yuv444p')),
    '4:2:2': ('a.mp4', dict(pix_fmt='yuv422p')), 'ten bits': ('a.mp4', dict(pix_fmt='yuv420p10le')),
    'full range': ('a.mp4', dict(pix_fmt='yuvj420p')), 'interlaced': ('a.mp4', {'x264-params': 'tff=1'}),
    'grey': ('a.mp4', dict(pix_fmt='gray')), 'odd': ('a.mp4', dict(pix_fmt='yuv444p', size=(47, 63))),
    'small': ('a.mp4', dict(size=(46, 62)))}

@pytest.mark.parametrize('kind', EXACT)
def test_decord_where_it_is_exact(tmp_path, kind):
    "It reads, every frame twice and in random order, the bytes that PyAV reads."
    pytest.importorskip('decord')
    name, options = EXACT[kind]
    p = write(tmp_path/name, np.arange(150)/30, **options)
    reader = kept(p)
    assert reader, 'decord is not asked'
    with video._movie(p, 1) as (box, st):
        scaler = av.video.reformatter.VideoReformatter()
        whole = np.stack([video._rgb(scaler, f, None, 'crop', p).copy() for _,f in video._shown(box, st)])
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(whole)), 2))
    for i in order: assert (reader.reader[int(i)].asnumpy() == whole[i]).all()
    same_with_both(p)

@pytest.mark.parametrize('seed', range(3))
def test_decord_and_a_variable_rate(tmp_path, seed):
    pytest.importorskip('decord')
    t = np.r_[0, np.cumsum(np.random.default_rng(seed).integers(3, 240, 150)/600)]
    p = write(tmp_path/'v.mp4', t, g='25')
    assert kept(p)
    same_with_both(p, 40, seed)

@pytest.mark.parametrize('quarter', [0, 1, 2, 3])
def test_decord_and_a_turned_film(tmp_path, quarter):
    pytest.importorskip('decord')
    turned(tmp_path/'t.mp4', quarter)
    assert kept(tmp_path/'t.mp4')
    same_with_both(tmp_path/'t.mp4')

@pytest.mark.parametrize('space', [1, 5, 6, 9])
@pytest.mark.parametrize('full', [1, 2])
def test_decord_and_colours(tmp_path, space, full):
    pytest.importorskip('decord')
    p, rng = tmp_path/'c.mp4', np.random.default_rng(space)
    with av.open(str(p), 'w') as box:
        st = box.add_stream('libx264', rate=30)
        st.height, st.width, st.pix_fmt = 48, 70, 'yuv420p'
        st.codec_context.colorspace, st.codec_context.color_range = space, full
        for _ in range(20):
            picture = rng.integers(0, 255, (48, 70, 3), dtype=np.uint8)
            box.mux(st.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        box.mux(st.encode())
    assert kept(p)
    same_with_both(p)

def test_decord_and_natural_films():
    pytest.importorskip('decord')
    folder = clips_folder()
    if folder is None: pytest.skip('no folder of films')
    films = sorted(folder.glob('*.mp4'))
    used = [p for p in films if kept(p)]
    for p in used: same_with_both(p, 4)
    assert len(used) == len(films) == 16

def hidden(tmp_path, skip):
    "A film whose first frames an edit list hides."
    source, p = write(tmp_path/'whole.mp4', np.arange(120)/30, bf='2', g='30'), tmp_path/'edit.mp4'
    with av.open(str(source)) as box, av.open(str(p), 'w') as out:
        st = box.streams.video[0]
        copy, back = out.add_stream_from_template(st), round(skip/30/float(st.time_base))
        for k in box.demux(st):
            if k.dts is None: continue
            k.pts, k.dts, k.stream = k.pts - back, k.dts - back, copy
            out.mux(k)
    return p

def cut_stream(tmp_path):
    p = write(tmp_path/'cut.ts', np.arange(300)/30, 90000, fmt='mpegts', g='60', bf='2', **{'x264-params': 'scenecut=0'})
    b = p.read_bytes()
    p.write_bytes(b[len(b)//4//188*188:])
    return p

OPEN = {'x264-params': 'bframes=5:b-pyramid=strict:open-gop=1:keyint=30'}
INEXACT = {
    'open groups': lambda d: write(d/'o.mp4', np.arange(300)/30, **OPEN),
    'open groups mkv': lambda d: write(d/'o.mkv', np.arange(300)/30, 1000, **OPEN),
    'intra refresh': lambda d: write(d/'i.mp4', np.arange(300)/30, **{'x264-params': 'intra-refresh=1:keyint=30'}),
    'transport stream': lambda d: write(d/'a.ts', np.arange(120)/30, 90000, fmt='mpegts', g='12'),
    'cut stream': cut_stream, 'edit list': lambda d: hidden(d, 7),
    'mpeg4': lambda d: write(d/'a.mkv', np.arange(120)/30, 1000, 'mpeg4', bf='2'),
    'mpeg2': lambda d: write(d/'a.mkv', np.arange(120)/30, 30, 'mpeg2video', bf='2'),
    'hevc': lambda d: write(d/'a.mkv', np.arange(120)/30, 1000, 'libx265', **{'x265-params': 'log-level=none'}),
    'avi': lambda d: write(d/'x.avi', np.arange(120)/30, 30, 'mpeg4'),
    'mirrored': lambda d: with_matrix(d/'m.mp4', [[-1, 0], [0, 1]])}

@pytest.mark.parametrize('kind', INEXACT)
def test_decord_is_not_asked_where_it_may_be_wrong(tmp_path, kind):
    pytest.importorskip('decord')
    p = INEXACT[kind](tmp_path)
    assert kept(p) is None
    same_with_both(p, 12)

@pytest.mark.parametrize('kind', ['open groups', 'mirrored'])
def test_decord_would_be_wrong_there(tmp_path, kind):
    "The two that would pass but for their own check: without it the bytes differ."
    decord = pytest.importorskip('decord')
    p = INEXACT[kind](tmp_path)
    reader = decord.VideoReader(str(p), num_threads=1)
    with video._movie(p, 1) as (box, st):
        scaler = av.video.reformatter.VideoReformatter()
        whole = [video._rgb(scaler, f, None, 'crop', p).copy() for _,f in video._shown(box, st)]
    order = np.random.default_rng(0).permutation(len(whole))
    assert any((reader[int(i)].asnumpy() != whole[i]).any() for i in order)

def test_decord_and_flipped_bits(tmp_path):
    "Damage that a decoder may conceal: the same bytes, or the same error, with either reader."
    pytest.importorskip('decord')
    good = write(tmp_path/'g.mp4', np.arange(90)/30, bf='2', g='15').read_bytes()
    start = good.index(b'mdat')
    end = start + int.from_bytes(good[start - 4:start], 'big') - 4
    for seed in range(40):
        rng, b = np.random.default_rng(seed), bytearray(good)
        for at in rng.integers(start + 4, end, 3): b[at] ^= 1 << rng.integers(8)
        p = tmp_path/f'{seed}.mp4'
        p.write_bytes(b)
        try: same_with_both(p, 3, seed)
        except SemvideoError: pass # nothing can be read of it

def test_a_film_is_indexed_once_that_pays(film, monkeypatch):
    pytest.importorskip('decord')
    asked = []
    opened = video._kept_open
    monkeypatch.setattr(video, '_kept_open', lambda *a: asked.append(a) or opened(*a))
    monkeypatch.setattr(video, '_asked', {})
    monkeypatch.setattr(video, 'PAYS_AFTER', 1)
    a = [video.read_clip(film, t, 1, 3) for t in (4, 2, 4)]
    assert len(asked) == 2 and (a[0] == a[2]).all()
    for kw in (dict(reader='pyav'), dict(threads=1)): video.read_clip(film, 4, 1, 3, **kw)
    assert len(asked) == 2
    with pytest.raises(SemvideoError, match='Unknown reader'): video.read_clip(film, 4, 1, 3, reader='cv2')

def test_without_decord_pyav_reads(film, monkeypatch):
    monkeypatch.setitem(sys.modules, 'decord', None)
    video._kept_open.cache_clear()
    assert kept(film) is None
    assert [number_of(f) for f in video.read_clip(film, 2, 1, 2, reader='decord')] == [60, 75]
    video._kept_open.cache_clear()

def test_a_film_replaced_where_it_lay_is_read_anew(tmp_path):
    p = write(tmp_path/'a.mp4', np.arange(60)/30)
    first = video.read_clip(p, 0, 1, 2, reader='decord')
    write(tmp_path/'a.mp4', np.arange(60)/20)
    assert number_of(first[1]) == 15 and number_of(video.read_clip(p, 0, 1, 2, reader='decord')[1]) == 10

def test_threads_share_a_film_that_decord_keeps(film):
    from concurrent.futures import ThreadPoolExecutor
    starts = np.random.default_rng(0).uniform(0, 14, 40)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda t: video.read_clip(film, t, 1, 4, reader='decord'), starts))
    assert all((g == video.read_clip(film, t, 1, 4, reader='pyav')).all() for g,t in zip(got, starts))
