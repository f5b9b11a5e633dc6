"""by_number: the same bytes as PyAV, or not asked."""
import os, sys
from pathlib import Path
import av, numpy as np, pytest
from films_help import number_of, write, turned, with_matrix
from semvideo import by_number, video
from semvideo.core import SemvideoError

def clips_folder():
    root = Path(__file__).resolve().parents[1]
    places = [Path(os.environ.get('SEMVIDEO_CLIPS', 'none')),
              *[r/n/'clips' for r in root.parents for n in ('', 'shared')]]
    return next((d for d in places if (d/'car_park.mp4').exists()), None)

def kept(p, threads=1):
    info = p.stat()
    return by_number._kept_open(str(p), (info.st_mtime_ns, info.st_size), threads, os.getpid())

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
    with video.movie_stream(p, 1) as (box, st):
        scaler = av.video.reformatter.VideoReformatter()
        whole = np.stack([video.picture_of(scaler, f, None, 'crop', p).copy() for _,f in video.frames_with_times(box, st)])
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
    with video.movie_stream(p, 1) as (box, st):
        scaler = av.video.reformatter.VideoReformatter()
        whole = [video.picture_of(scaler, f, None, 'crop', p).copy() for _,f in video.frames_with_times(box, st)]
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

def test_a_film_is_indexed_once_that_pays(numbered_film, monkeypatch):
    pytest.importorskip('decord')
    asked = []
    opened = by_number._kept_open
    monkeypatch.setattr(by_number, "_kept_open", lambda *a: asked.append(a) or opened(*a))
    monkeypatch.setattr(by_number, "_asked", {})
    monkeypatch.setattr(by_number, "PAYS_AFTER", 1)
    a = [video.read_clip(numbered_film, t, 1, 3) for t in (4, 2, 4)]
    assert len(asked) == 2 and (a[0] == a[2]).all()
    for kw in (dict(reader='pyav'), dict(threads=1)): video.read_clip(numbered_film, 4, 1, 3, **kw)
    assert len(asked) == 2
    with pytest.raises(SemvideoError, match='Unknown reader'): video.read_clip(numbered_film, 4, 1, 3, reader='cv2')

def test_without_decord_pyav_reads(numbered_film, monkeypatch):
    monkeypatch.setitem(sys.modules, 'decord', None)
    by_number._kept_open.cache_clear()
    assert kept(numbered_film) is None
    assert [number_of(f) for f in video.read_clip(numbered_film, 2, 1, 2, reader='decord')] == [60, 75]
    by_number._kept_open.cache_clear()

def test_a_film_replaced_where_it_lay_is_read_anew(tmp_path):
    p = write(tmp_path/'a.mp4', np.arange(60)/30)
    first = video.read_clip(p, 0, 1, 2, reader='decord')
    write(tmp_path/'a.mp4', np.arange(60)/20)
    assert number_of(first[1]) == 15 and number_of(video.read_clip(p, 0, 1, 2, reader='decord')[1]) == 10

def test_threads_share_a_film_that_decord_keeps(numbered_film):
    from concurrent.futures import ThreadPoolExecutor
    starts = np.random.default_rng(0).uniform(0, 14, 40)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda t: video.read_clip(numbered_film, t, 1, 4, reader='decord'), starts))
    assert all((g == video.read_clip(numbered_film, t, 1, 4, reader='pyav')).all() for g,t in zip(got, starts))
