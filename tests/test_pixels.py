"510_pixels: SSIM, PSNR and hue against independent references."
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from semvideo.core import ensure_torchvision
from semvideo import metrics as M
from metrics_help import rng, movie, noisy

def test_ssim_and_psnr_against_scikit_image():
    from skimage.color import rgb2gray
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity as sk
    t = movie()
    r = noisy(t)
    each = lambda f: np.array([np.mean([f(a, b) for a,b in zip(x, y)]) for x,y in zip(r, t)])
    assert np.allclose(M.ssim(r, t, 'paper'),
                       each(lambda a, b: sk(b, a, data_range=255, channel_axis=-1)), atol=1e-9)
    assert np.allclose(
        M.ssim(r, t),
        each(lambda a, b: sk(b, a, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=
                             1.5, use_sample_covariance=False)), atol=1e-9)
    assert np.allclose(
        M.ssim(r, t, 'NEURONS'),
        each(lambda a, b: sk(rgb2gray(b), rgb2gray(a), channel_axis=-1, gaussian_weights=True, sigma
                             =1.5, use_sample_covariance=False, data_range=1.)), atol=1e-9)
    assert np.allclose(M.psnr(r, t),
                       each(lambda a, b: peak_signal_noise_ratio(b, a, data_range=255)), atol=1e-4)

def test_ssim_and_psnr_against_torchmetrics():
    ensure_torchvision()
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
    t = movie(2)
    r = noisy(t)
    px = lambda x: torch.from_numpy(np.moveaxis(x, -1, 1).astype(np.float64))
    for i in range(2):
        assert M.psnr(r[i:i + 1], t[i:i + 1])[0] == pytest.approx(
            np.mean([
                float(peak_signal_noise_ratio(a[None], b[None], data_range=255.))
                for a, b in zip(px(r[i]), px(t[i]))
            ]), abs=1e-4)
        # torchmetrics keeps the reflected border
        assert M.ssim(r[i:i + 1], t[i:i + 1])[0] == pytest.approx(
            float(
                structural_similarity_index_measure(px(r[i]), px(t[i]), data_range=255., sigma=1.5,
                                                    return_full_image=True)[1][..., 5:-5,
                                                                               5:-5].mean()),
            abs=1e-9)

def rotate_hue(x, deg):
    import cv2
    h = cv2.cvtColor(x.reshape(-1, x.shape[-2], 3).astype(np.float32)/255, cv2.COLOR_RGB2HSV)
    h[..., 0] = (h[..., 0]+deg) % 360
    return np.rint(cv2.cvtColor(h, cv2.COLOR_HSV2RGB)*255).astype(np.uint8).reshape(x.shape)

@settings(max_examples=15, deadline=None)
@given(st.floats(0, 359))
def test_hue_follows_a_rotation(deg):
    t = movie(1, 2)
    r = noisy(t, 8)
    base = M.hue_pcc(r, t)[0]
    # both: unchanged
    assert M.hue_pcc(rotate_hue(r, deg), rotate_hue(t, deg))[0] == pytest.approx(base, abs=.05)
    # one: cosine of the angle
    assert M.hue_pcc(rotate_hue(t, deg), t)[0] == pytest.approx(np.cos(np.deg2rad(deg)), abs=.05)
    assert M.hue_pcc(rotate_hue(t, deg), t, centred=True)[0] > .9 # the correlation forgives it

def test_hue_floors():
    r = rng(0); a,b = r.integers(0, 256, (2, 6, 2, 48, 48, 3), dtype=np.uint8)
    assert M.hue_pcc(a, b, 'paper').mean() == pytest.approx(.75, abs=.02) and abs(
        M.hue_pcc(a, b).mean()) < .03
    flat = np.zeros_like(a); flat[..., 1:] = 200
    assert M.hue_pcc(flat, b, 'paper').mean() == pytest.approx(.866, abs=.02) and abs(
        M.hue_pcc(flat, b).mean()) < .03

def test_hue_from_inner_products_is_the_textbook_formula():
    import cv2
    t = movie(2, 3)
    r = noisy(t, 40)
    want = []
    for x,y in zip(r, t):
        h = lambda v: np.deg2rad(
            cv2.cvtColor(v.reshape(-1, v.shape[2], 3).astype(np.float32)/255, cv2.COLOR_RGB2HSV)[
                ..., 0].ravel().astype(float))
        col = lambda v: (v.max(-1).astype(int)-v.min(-1) >= 16).ravel()
        both = col(x) & col(y)
        a,b = h(x)[both],h(y)[both]
        mid = lambda v: np.angle(np.exp(1j*v).mean())
        sa,sb = np.sin(a-mid(a)),np.sin(b-mid(b))
        want.append((np.cos(a - b).sum()/col(y).sum(), (sa*sb).sum()/np.sqrt(
            (sa**2).sum()*(sb**2).sum())*both.sum()/col(y).sum()))
    assert np.allclose(np.stack([M.hue_pcc(r, t), M.hue_pcc(r, t, centred=True)], 1), want,
                       atol=1e-6)

def test_enlarging_by_whole_pixels_changes_no_pixel_score():
    t = movie(3)
    r = noisy(t)
    big = lambda x: x.repeat(2, 2).repeat(2, 3)
    for f in (M.psnr, lambda a, b: M.hue_pcc(a, b), lambda a, b: M.hue_pcc(a, b, centred=True),
              lambda a, b: M.hue_pcc(a, b, 'paper')):
        assert np.allclose(f(big(r), big(t)), f(r, t), atol=1e-6)
    # windows are in pixels: SSIM depends on the size, and so is compared at one
    assert (M.ssim(big(r), big(t)) != M.ssim(r, t)).all()
