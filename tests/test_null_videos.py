"580_null_videos: nulls repeat with their seed; a null is registered once."
import numpy as np, pytest
from semvideo.evaluate import null_videos
from semvideo.core import SemvideoError

def test_nulls_repeat_with_the_seed_and_differ_without():
    rng = np.random.default_rng(4)
    train, recon = rng.integers(256, size=(30, 3, 8, 8, 3), dtype=np.uint8), rng.integers(
        256, size=(9, 3, 8, 8, 3), dtype=np.uint8)
    a, b, c = (null_videos(recon, train, s) for s in (0, 0, 1))
    assert all((a[k] == b[k]).all() for k in a) and any((a[k] != c[k]).any() for k in a)

def test_null_registry_refuses():
    from semvideo import evaluate as E
    with pytest.raises(SemvideoError, match="there already"):
        E.register_null("shifted fMRI", None)
    with pytest.raises(SemvideoError, match="No such added null"):
        E.forget_null("shifted fMRI")
