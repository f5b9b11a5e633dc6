"""557_clip_files: one clip from a movie, a GIF, pictures or half of a grid, or an error that names the file."""
import numpy as np, pytest
from semvideo.core import SemvideoError
from semvideo import stats as S
from stats_help import discs, noisy
from study_help import refuses
from folders_help import grid, write

def test_grids(tmp_path):
    t = discs(3)
    r = noisy(t, 5)
    f = write(tmp_path/'g', [grid(a, b) for a,b in zip(t, r)], 'gif', '{}-a disc')
    assert list(S.list_clips(f)) == ['1', '2', '3']
    at = lambda n: (tmp_path/n).mkdir() or tmp_path/n
    names,p,q = S.load_pairs(f, layout='NEURONS', folder=at('a'))
    assert p.shape == t.shape and abs(np.asarray(q).astype(int)-t).mean() < 10
    _,p2,q2 = S.load_pairs(f, layout='NEURONS', legacy=True, folder=at('b'))
    assert p2.shape[2:4] == (28, 27)
    _,p3,q3 = S.load_pairs(f, layout='GLFA', folder=at('c'))
    assert np.array_equal(p3, q) and np.array_equal(q3, p)
    with pytest.raises(SemvideoError, match='Not a grid'): S.split_grid(t[0][:, :, :23])

def test_grids_as_torchvision_leaves_them(tmp_path):
    """The field's own writer: make_grid of truth and reconstruction, 2 px of padding, 260x518 at 256 px."""
    from semvideo.core import ensure_torchvision
    import torch
    ensure_torchvision()
    from torchvision.utils import make_grid
    t = discs(2, 3, 96)
    r = noisy(t, 5)
    px = lambda a: torch.from_numpy(a).permute(2, 0, 1)
    g = [
        np.stack([
            make_grid([px(a), px(b)], nrow=2, padding=2).permute(1, 2, 0).numpy()
            for a, b in zip(x, y)
        ])
        for x, y in zip(t, r)
    ]
    assert g[0].shape[1:3] == (100, 198)
    for x,y,z in zip(t, r, g):
        a,b = S.split_grid(z)
        assert np.array_equal(a, x) and np.array_equal(b, y)
    for layout in ('MinD-Video', 'NEURONS', 'Mind-Animator'):
        f = write(tmp_path/layout, g, 'gif', 'test{}')
        names,p,q = S.load_pairs(f, layout=layout, folder=tmp_path)
        assert names == ['test1', 'test2'
                         ] and abs(np.asarray(p).astype(int) -
                                   r).mean() < 8 and abs(np.asarray(q).astype(int) - t).mean() < 8
        _,p,q = S.load_pairs(f, layout=layout, legacy=True, folder=tmp_path)
        assert p.shape[2:4] == (100, 99)

def test_pictures_that_are_not_what_they_seem(tmp_path, monkeypatch):
    from PIL import Image
    from semvideo.folders import clip_frames
    half = np.zeros((8, 12, 3), np.uint8)
    half[:4] = 255
    def folder(name, *pictures, **kw):
        (tmp_path/name).mkdir()
        for i, p in enumerate(pictures): p.save(tmp_path/name/f"{i}.png", **kw)
        return tmp_path/name
    sizes = folder("sizes", Image.new("RGB", (8, 8)), Image.new("RGB", (8, 9)))
    refuses(lambda: clip_frames(sizes), "different sizes", "8x8 and 9x8", "sizes")
    deep = folder("deep", Image.fromarray(np.full((8, 8), 700, np.uint16)))
    refuses(lambda: clip_frames(deep), "0.png", "more than 8 bits")
    exif = Image.Exif()
    exif[0x112] = 6 # lies on its side: shown turned by a quarter, clockwise
    turned = clip_frames(folder("turned", Image.fromarray(half), exif=exif))[0]
    assert np.array_equal(turned, np.rot90(half, -1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    refuses(lambda: clip_frames(sizes), "0.png", "pixels")

def test_a_broken_picture_is_named(tmp_path):
    from semvideo.stats import score
    for d in ("a", "b"):
        (tmp_path/d/"clip").mkdir(parents=True)
        (tmp_path/d/"clip/0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    refuses(lambda: score(tmp_path/"a", tmp_path/"b", out=tmp_path/"o", models=None), "0.png")
