"""video, moments: frames by presentation time, against numbered films and another decoder."""
import os, subprocess, sys
from pathlib import Path
import av, numpy as np, pytest
from films_help import number_of, numbered, write, expected
from semvideo import video
from semvideo.core import SemvideoError

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

def test_clips_overlap_and_come_in_any_order(numbered_film):
    starts = [7, 0, 1.5, 1, 14]
    a = video.read_clips(numbered_film, starts, 2, 5, size=(24, 40))
    assert a.shape == (5, 5, 24, 40, 3)
    for c,s in zip(a, starts):
        assert (c == video.read_clip(numbered_film, s, 2, 5, size=(24, 40))).all()

def test_same_frames_as_decord(numbered_film):
    decord = pytest.importorskip('decord')
    r = decord.VideoReader(str(numbered_film))
    t = r.get_frame_timestamp(range(len(r)))[:, 0]
    for s in (0, 3, 9.4):
        idx = [int((t <= x + 1e-4).sum()) - 1 for x in video.sample_times(s, 2, 6)[0]]
        ours, theirs = video.read_clip(numbered_film, s, 2, 6), r.get_batch(idx).asnumpy()
        assert [number_of(f)
                for f in ours] == [number_of(f)
                                   for f in theirs] and np.abs(ours.astype(int) - theirs).mean() < 4

def whole(path, starts, d, n):
    "The same clips with every frame decoded."
    times = video.sample_times(starts, d, n)
    with video.movie_stream(path) as (box, st):
        return np.stack([
            f.to_ndarray(format='rgb24')
            for _, f in video.on_screen(video.frames_with_times(box, st), st, np.sort(times, None), path)
        ]).reshape(*times.shape, 48, 64, 3)

@pytest.mark.parametrize('options,fewer', [(dict(bf='3'), True), (dict(bf='0'), False), ({'x264-params': 'bframes=5:b-pyramid=strict:open-gop=1:keyint=30'}, True), ({'x264-params': 'bframes=2:weightp=0:slices=3'}, True)])
def test_leaving_out_frames_nothing_refers_to_changes_no_other(tmp_path, options, fewer):
    p = write(tmp_path/'b.mp4', np.arange(300)/30, **options)
    starts, times = np.arange(4)*2., video.sample_times(np.arange(4)*2., 2, 4).ravel()
    marks, n = video._marks(p, times), []
    with video.movie_stream(p, 1) as (box, st):
        assert [f.pts for f in video._decode_only(box, st, set(marks))] == marks
    with video.movie_stream(p, 1) as (box, st):
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
    with video.movie_stream(p, 1) as (box, st):
        want = [
            f.to_ndarray(format='rgb24')
            for _, f in video.on_screen(video.frames_with_times(box, st), st, times, p)
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
    with video.movie_stream(p) as (box, st): given = {f.pts for f in box.decode(st)}
    assert not set(marks) <= given
    assert (video.read_clips(p, starts, 2, 5) == whole(p, starts, 2, 5)).all()

def test_threads_do_not_change_frames(numbered_film):
    a = [video.read_clips(numbered_film, np.arange(8)*2, 2, 4, size=32, threads=k) for k in (1, 3)]
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

def test_too_short(numbered_film):
    assert video.read_clip(numbered_film, 14, 2, 8).shape[0] == 8
    for f in (video.read_clip, lambda p,s,d,n: video.read_clips(p, [0, s], d, n)):
        with pytest.raises(SemvideoError, match='shorter') as e: f(numbered_film, 15, 2, 8)
        assert '16.000 s' in str(e.value)

@pytest.mark.parametrize('start,dur,n', [(-1, 2, 4), (0, 0, 4), (0, 2, 0)])
def test_no_clip(numbered_film, start, dur, n):
    with pytest.raises(SemvideoError, match='Not a clip'):
        video.read_clip(numbered_film, start, dur, n)
    with pytest.raises(SemvideoError, match='start none'):
        video.read_clips(numbered_film, [], 2, 4)

def test_import_is_light():
    subprocess.run([
        sys.executable, '-c',
        'import sys, semvideo.video; assert not {"av", "torch", "cv2", "pandas"} '
        '& set(sys.modules)'
    ], check=True)

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
