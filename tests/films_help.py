"""Films that say which frame is which, for the tests of the rooms that read films."""
import struct
from fractions import Fraction
import av
import numpy as np
from semvideo.video import write_video


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

def fields():
    "Four frames of four colours, one a quarter."
    frames = np.zeros((4, 32, 64, 3), np.uint8)
    frames[:, :16, :32] = (200, 30, 30)
    frames[:, :16, 32:] = (30, 200, 30)
    frames[:, 16:, :32] = (30, 30, 200)
    frames[:, 16:, 32:] = (200, 200, 30)
    return frames

FIELDS = fields()

def turned(p, quarter):
    """A film of four coloured fields, shown turned by `quarter` clockwise turns: the matrix of its track
    header is set by hand."""
    f = np.zeros((12, 64, 96, 3), np.uint8)
    f[:, :32, :48] = (200, 30, 30)
    f[:, :32, 48:] = (30, 200, 30)
    f[:, 32:, :48] = (30, 30, 200)
    f[:, 32:, 48:] = (200, 200, 30)
    b = bytearray(write_video(p, f, 12, crf=1).read_bytes())
    k = b.find(b'tkhd')+4
    k += 40 if b[k] == 0 else 52
    one = 65536
    m = [(one, 0, 0, one, 0, 0), (0, one, -one, 0, 64 << 16, 0),
         (-one, 0, 0, -one, 96 << 16, 64 << 16), (0, -one, one, 0, 0, 96 << 16)][quarter]
    b[k:k+36] = struct.pack('>9i', m[0], m[1], 0, m[2], m[3], 0, m[4], m[5], 1 << 30)
    p.write_bytes(b)
    return np.rot90(f, -quarter, (1, 2))

def with_matrix(p, matrix, bottom=(0, 0)):
    "Four coloured fields, the matrix of their track header set by hand."
    words = lambda m, v: struct.pack('>9i', *(round(65536*x) for x in (m[0][0], m[0][1])), v[0],
                                     *(round(65536*x) for x in (m[1][0], m[1][1])), v[1], 0, 0, 1 << 30)
    b = write_video(p, FIELDS, 4, crf=1).read_bytes()
    before, after = b.rsplit(words(np.eye(2), (0, 0)), 1)
    p.write_bytes(before + words(matrix, bottom) + after)
    return p

def audio_only(p):
    "A film without pictures."
    with av.open(str(p), 'w') as box:
        st = box.add_stream('aac', rate=16000)
        f = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), 'fltp', 'mono')
        f.sample_rate = 16000
        box.mux(st.encode(f))
        box.mux(st.encode())
