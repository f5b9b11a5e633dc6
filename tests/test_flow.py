"515_flow: flow of a known shift, and what reversal and swaps do to it."
import numpy as np, pytest
from semvideo import metrics as M
from metrics_help import rng, movie, noisy

def test_flow_of_a_known_shift():
    "A texture that moves 2 px a frame has that flow, and doubling the size doubles it."
    import cv2
    big = cv2.GaussianBlur(rng(0).integers(0, 256, (96, 120, 3), dtype=np.uint8), (0, 0), 2)
    big = cv2.normalize(big, None, 0, 255, cv2.NORM_MINMAX)
    t = np.stack([big[16:80, 10+2*k:74+2*k] for k in range(4)])[None]
    f = M.clip_flow(t[0])[:, 12:-12, 12:-12]
    assert np.median(f[..., 0]) == pytest.approx(-2, abs=.25) and abs(np.median(f[..., 1])) < .1
    assert M.flow_table(t, t[:, :1].repeat(4, 1), size=128)[0, 0]/M.flow_table(
        t, t[:, :1].repeat(4, 1))[0, 0] == pytest.approx(2, rel=.15)

def test_flow_paper_is_farneback_on_swapped_grey_at_512():
    import cv2
    t = movie(1, 3)
    r = noisy(t, 5)
    up = lambda x: [cv2.cvtColor(cv2.resize(f, (512, 512)), cv2.COLOR_BGR2GRAY) for f in x[0]]
    fl = lambda g: np.array([
        cv2.calcOpticalFlowFarneback(a, b, None, .5, 3, 15, 3, 5, 1.2, 0) for a, b in zip(g, g[1:])
    ])
    want = np.linalg.norm(fl(up(t))-fl(up(r)), axis=-1).mean()
    assert M.flow_epe(r, t, 'paper')[0] == pytest.approx(want, rel=1e-4)

def test_reversal_and_swaps():
    t = movie(4, 6, speed=4)
    s = M.flow_table(t, t)
    rev = M.flow_table(t[:, ::-1], t)
    swap = M.flow_table(t[[1, 2, 3, 0]], t)
    assert (s[:, 0] == 0).all() and (s[:, 2] == 1).all() and (rev[:, 2] < 0).all() and (swap[:, 0]
                                                                                        > 0).all()
    assert M.psnr(t[:, ::-1], t).mean() < 100 and M.psnr(t[[1, 2, 3, 0]], t).mean() < M.psnr(
        noisy(t), t).mean()
