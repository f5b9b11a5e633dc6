"560_folders: folders as others leave them are scored, or refused in words."
import numpy as np, pandas as pd, pytest
from semvideo.core import SemvideoError, read_json
from semvideo import metrics as M, stats as S
from stats_help import discs, noisy
from study_help import refuses

def grid(t, r, pad=2):
    F,H,W,_ = t.shape
    g = np.zeros((F, H+2*pad, 2*W+3*pad, 3), np.uint8)
    g[:, pad:-pad, pad:pad+W],g[:, pad:-pad, 2*pad+W:-pad] = t,r
    return g

def write(folder, clips, kind, name='test{}'):
    from PIL import Image
    folder.mkdir()
    for i,c in enumerate(clips):
        n = name.format(i+1)
        if kind == 'npy': np.save(folder/f'{n}.npy', c)
        elif kind == 'png':
            (folder/n).mkdir()
            for k,f in enumerate(c): Image.fromarray(f).save(folder/n/f'{k}.png')
        elif kind == 'gif':
            ims = [Image.fromarray(f) for f in c]
            ims[0].save(folder/f'{n}.gif', save_all=True, append_images=ims[1:], duration=300)
        else:
            from semvideo.video import write_video
            write_video(folder/f'{n}.mp4', c, 4, crf=1)
    return folder

@pytest.mark.parametrize('kind,tol', [('npy', 0), ('png', 0), ('mp4', 12), ('gif', 6)])
def test_every_format_gives_the_clips_back(tmp_path, kind, tol):
    t = discs(11)
    f = write(tmp_path/'p', t, kind)
    assert list(S.list_clips(f)) == [f'test{i+1}' for i in range(11)]
    names,r,tt = S.load_pairs(f, write(tmp_path/'t', t, 'npy'), folder=tmp_path)
    assert r.shape == t.shape and abs(np.asarray(r).astype(int) -
                                      t).mean() <= tol and np.array_equal(tt, t)

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

def test_alignment(tmp_path):
    a = {f'r{i}': i for i in (1, 2, 10)}
    b = {f'gt_{i:03d}': i for i in (1, 2, 10)}
    assert [x[1:] for x in S.align(a, b, 'number')] == [
        (1, 1), (2, 2), (10, 10)
    ] and [x[1:] for x in S.align(a, b, 'order')] == [(1, 1), (2, 2), (10, 10)]
    for f, says in ((lambda: S.align(a, b), 'do not match by name'),
                    (lambda: S.align({'r1': 1}, b, 'number'), '2 of 3 truths without'),
                    (lambda: S.align(a, {'gt_1': 1}, 'number'),
                     'without a truth'), (lambda: S.align({'r1': 1}, b, 'order'),
                                          'different numbers'), (lambda: S.align({
                                              'a1': 1,
                                              'b1': 2
                                          }, b, 'number'), 'not unique')):
        with pytest.raises(SemvideoError, match=says): f()

def test_score_writes_everything(tmp_path):
    t = discs(12)
    p,q = write(tmp_path/'p', noisy(t), 'npy'),write(tmp_path/'t', t, 'npy')
    res = S.score(p, q, tmp_path/'o', models=None, block=2)
    assert {'results.csv', 'results.parquet', 'clips.csv', 'how.json', 'trust.html',
            'trust.json'} == {f.name
                              for f in (tmp_path/'o').iterdir()}
    assert pd.read_parquet(
        tmp_path/'o/results.parquet').metric.tolist() == res.metric.tolist() and np.allclose(
            pd.read_csv(tmp_path/'o/results.csv').value, res.value)
    assert np.allclose(
        res.set_index(['metric', 'variant']).loc[('SSIM', 'strict'), 'value'],
        M.ssim(noisy(t), t).mean())
    np.save(tmp_path/'a.npy', noisy(t))
    np.save(tmp_path/'b.npy', t)
    assert np.allclose(
        S.score(tmp_path/'a.npy', tmp_path/'b.npy', tmp_path/'o2', models=None, block=2).value,
        res.value)
    np.save(tmp_path/'f.npy', (t/255).astype(np.float32))
    assert np.allclose(
        S.score(tmp_path/'f.npy', tmp_path/'b.npy', tmp_path/'o3', models=None,
                block=2).set_index('metric').value['PSNR'], 100)

def test_score_names_bad_folders(tmp_path):
    t = discs(6)
    p,q = write(tmp_path/'p', noisy(t), 'npy'),write(tmp_path/'t', t, 'npy')
    go = lambda a=p,b=q,**k: S.score(a, b, tmp_path/'o', models=None, **k)
    (tmp_path/'e').mkdir()
    mixed = write(tmp_path/'m', t[:1], 'npy')
    write(mixed/'x', t[:1], 'png')
    (mixed/'x/test1').rename(mixed/'test9')
    (mixed/'x').rmdir()
    bgr = write(tmp_path/'bgr', noisy(t)[..., ::-1], 'npy')
    long = write(tmp_path/'long', discs(6, 9), 'npy')
    odd = write(tmp_path/'odd', t, 'npy')
    np.save(odd/'test4.npy', t[3][:4])
    broken = tmp_path/'b'
    broken.mkdir()
    (broken/'test1.mp4').write_bytes(b'not a movie')
    scaled = write(tmp_path/'s', t/127.5-1, 'npy')
    twice = write(tmp_path/'w', [grid(a, a) for a in t], 'gif', '{}-x')
    (twice/'1-y.gif').write_bytes((twice/'1-x.gif').read_bytes())
    for f, says in ((lambda: go(tmp_path/'no'), 'Nothing is here'),
                    (lambda: go(tmp_path/'e'), 'empty'), (lambda: go(mixed), 'several kinds'),
                    (lambda: go(bgr), 'swapped'), (lambda: go(long), 'number of frames'),
                    (lambda: go(odd), 'test4'), (lambda: go(broken, broken),
                                                 'Cannot read this movie'), (lambda: go(scaled),
                                                                             'value range'),
                    (lambda: go(twice, None, layout='NEURONS'),
                     'one name'), (lambda: go(p, None), 'No truth'), (lambda: go(layout='x'),
                                                                      'grid layout')):
        with pytest.raises(SemvideoError, match=says): f()
    assert np.allclose(go(bgr, channels='bgr').value,
                       go().value) and len(go(long,
                                              frames=6)) and not (tmp_path/'o'/'pred.npy').exists()

def test_rates_of_movies_and_clips_that_stand_twice(tmp_path):
    from semvideo.video import write_video
    t = discs(4, 8)
    [(tmp_path/k).mkdir() for k in 'ab']
    for i,c in enumerate(t):
        write_video(tmp_path/f'a/{i}.mp4', c, 4, crf=1)
        write_video(tmp_path/f'b/{i}.mp4', c, 8, crf=1)
    with pytest.raises(SemvideoError, match='4 and 8 frames a second'):
        S.load_pairs(tmp_path/'a', tmp_path/'b', folder=tmp_path)
    assert S.load_pairs(tmp_path/'a', tmp_path/'b', frames=8,
                        folder=tmp_path)[1].shape[0] == 4 and S.load_pairs(
                            tmp_path/'b', tmp_path/'b', folder=tmp_path)[1].shape[1] == 8
    u = t.copy()
    u[2] = u[0]
    np.save(tmp_path/'p.npy', noisy(t))
    np.save(tmp_path/'t.npy', u)
    S.score(tmp_path/'p.npy', tmp_path/'t.npy', tmp_path/'o', models=None, block=1)
    ok = {x['check']: x for x in read_json(tmp_path/'o/trust.json')['checks']}
    assert ok['reconstructions are all different']['ok'] and ok['truths are all different'][
        'ok'] is False and '0002 is the same as 0000' in ok['truths are all different']['says']

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

def test_score_by_the_fields_definitions_and_through_its_gif(tmp_path):
    from semvideo.cli import main
    t = discs(3, 3)
    np.save(tmp_path/'p.npy', noisy(t))
    np.save(tmp_path/'t.npy', t)
    go = lambda *a: main([
        'score',
        str(tmp_path/'p.npy'),
        str(tmp_path/'t.npy'), '--out',
        str(tmp_path/'o'), '--models', 'none', '--profile', 'paper', '--source', 'all', *a
    ])
    assert not go()
    a = pd.read_csv(tmp_path/'o/results.csv')
    assert {'SemVideo', 'MinD-Video after GIF', 'Mind-Animator after a GIF of its own',
            'NEURONS after GIF'} == set(a.variant[a.metric == 'SSIM'])
    assert not go('--no-gif')
    b = pd.read_csv(tmp_path/'o/results.csv')
    assert {'SemVideo', 'MinD-Video', 'Mind-Animator', 'NEURONS'} == set(b.variant[b.metric == 'SSIM'])

def test_an_array_beside_a_folder_needs_as_many_clips(tmp_path):
    np.save(tmp_path/"a.npy", np.zeros((3, 4, 8, 8, 3), np.uint8))
    (tmp_path/"f").mkdir()
    np.save(tmp_path/"f/x.npy", np.zeros((4, 8, 8, 3), np.uint8))
    for pair in ((tmp_path/"a.npy", tmp_path/"f"), (tmp_path/"f", tmp_path/"a.npy")):
        with pytest.raises(SemvideoError, match="number of clips"): S.load_pairs(*pair)

def test_a_broken_picture_is_named(tmp_path):
    from semvideo.stats import score
    for d in ("a", "b"):
        (tmp_path/d/"clip").mkdir(parents=True)
        (tmp_path/d/"clip/0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    refuses(lambda: score(tmp_path/"a", tmp_path/"b", out=tmp_path/"o", models=None), "0.png")

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
