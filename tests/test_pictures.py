"""700_pictures, 702_sample, 720_explorer: the right frames, in a video a browser plays, in a sheet, under a slider."""
import io

import numpy as np
import pytest
from PIL import Image
from semvideo.core import SemvideoError
from semvideo.report import Explorer, contact_sheet, side_by_side, video_uri
from page_help import F, full, recon_of, study as study


def test_videos_are_h264_and_the_right_frames():
    import av, base64
    v = np.zeros((4, 16, 16, 3), np.uint8)
    v[:, :, :, 0] = np.array([0, 80, 160, 240])[:, None, None]
    pair = side_by_side(v, v)
    data = base64.b64decode(video_uri(pair, 2).split(',')[1])
    with av.open(io.BytesIO(data)) as f:
        s = f.streams.video[0]
        got = [x.to_ndarray(format='rgb24') for x in f.decode(s)]
        assert s.codec_context.name == 'h264' and s.codec_context.pix_fmt == 'yuv420p' and float(
            s.average_rate) == 2 and len(got) == 4
    assert np.abs(np.array([g[:, :100, 0].mean() for g in got]) - [0, 80, 160, 240]).max() < 12


def test_rendered_clips_of_another_size_are_shown_at_the_truths_size(study):
    big = np.repeat(np.repeat(recon_of(study)[:, ::2], 2, 2), 2, 3)
    e = Explorer(full(study), 1, recon=big)
    assert e.recon.shape == study.frames('test').shape and (e.recon[:, 0]
                                                            == big[:, 0, ::2, ::2]).mean() > .2
    with pytest.raises(SemvideoError, match='differ in shape'):
        side_by_side(big[0], recon_of(study)[0])


def test_explorer_follows_its_slider(study):
    e = Explorer(full(study), 1, recon=recon_of(study))
    first = e.image.value
    e.slider.value = 3
    assert e.values(
    )['clip_id'] == 'test1-003' and e.image.value != first and '&lt;script&gt;' in e.text.value and '<script>' not in e.text.value
    im = Image.open(io.BytesIO(e.image.value))
    assert im.n_frames == F and im.info.get('loop') == 0
    with pytest.raises(SemvideoError, match='No such clip'): e.show('nothing')


def test_contact_sheet_shows_the_frames_it_says():
    v = np.random.default_rng(0).integers(0, 256, (5, 4, 16, 16, 3), dtype=np.uint8)
    im = np.asarray(contact_sheet(v[::-1], v, ['x'*500]*5, clips=[2], frames=2, columns=1))
    assert (im[24:40, 10:26] == v[2, 0]).all() and (im[24:40, 28:44]
                                                    == v[2, 3]).all() and (im[42:58, 10:26]
                                                                           == v[2, 0]).all()


def test_the_sample_is_a_whole_study_and_the_same_twice(tmp_path):
    from semvideo.sample import sample_study
    (one, recon), (two, again) = (sample_study(tmp_path/name) for name in "ab")
    assert recon.shape == np.asarray(one.frames("test")).shape and (recon == again).all()
    assert (np.asarray(one.frames("train")) == np.asarray(two.frames("train"))).all()
    assert one.captions("test").equals(two.captions("test")) and one.fmri(1, "test").shape[0] == len(recon)
