"500_frames: what is no pair of clips is named."
import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from semvideo.core import SemvideoError
from semvideo import metrics as M
from metrics_help import movie

@pytest.mark.parametrize('make,says', [
    (lambda t: (t[:1], t), 'number of clips'), (lambda t: (t[:, :3], t), 'number of frames'), (lambda t: (t[:, :, :30], t), 'height'), (lambda t: (t[:, :, :, :30], t), 'width'),
    (lambda t: (np.moveaxis(t, -1, 2), t), 'channels are on axis 2'), (lambda t: (np.moveaxis(t, -1, 1), t), 'channels are on axis 1'), (lambda t: (t[0], t), 'batch axis'),
    (lambda t: (np.concatenate([t, t[..., :1]], -1), t), 'alpha'), (lambda t: (t[..., :1], t), 'grey'), (lambda t: (t/127.5-1, t), 'value range'), (lambda t: (t*1.5/255, t), 'value range'),
    (lambda t: (t*2., t), 'value range'), (lambda t: (np.where(t > 9, np.nan, t), t), 'NaN'), (lambda t: (t[:0], t), 'empty'), (lambda t: (t.astype(int)-300, t), 'dtype'), (lambda t: (t.astype(str), t), 'dtype')])
def test_bad_clips_are_named(make, says):
    with pytest.raises(SemvideoError, match=says): M.psnr(*make(movie()))

@settings(max_examples=20, deadline=None)
@given(st.sampled_from(['float32', 'float64', 'int32', 'int64']), st.booleans())
def test_ranges_are_told_apart(dtype, unit):
    t = movie(1, 2)
    x = (t/255).astype(dtype) if unit and dtype[0] == 'f' else t.astype(dtype)
    assert np.array_equal(M.as_video(x), t)
