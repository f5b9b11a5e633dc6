"""620_maps: colour where data is, names that cover nothing."""
import time

import numpy as np
import pytest
from semvideo.core import SemvideoError
from semvideo.neuro import atlas, bare_parcel, load_surface, METHOD_WORDS, plot_map, to_surface
from brain_help import AREAS, voxels as voxels


def test_fill_stays_inside_its_area(voxels):
    v = (voxels.parcel == 'MT').to_numpy(float)
    s = to_surface(v, voxels, 'L')
    area = atlas('L')
    assert (s[area == 'MT'] == 1).all() and (s[area == 'V1'] == 0).all() and np.isnan(
        s[area == 'A1']).all() and np.isnan(s[area == '']).all()


def test_surfaces_and_labels():
    for kind in ('inflated', 'flat', 'sphere', 'midthickness'):
        for h in 'LR':
            xyz, faces = load_surface(kind, h)
            assert xyz.shape == (32492, 3) and faces.max() < 32492
    assert bare_parcel('L_MT') == 'MT' and set(AREAS) <= set(atlas('R'))


def test_map_has_colour_where_data_is_and_its_caption_says_what_was_filled(voxels, tmp_path):
    import matplotlib
    matplotlib.use('Agg')
    v = (voxels.parcel == 'V1').to_numpy(float); t = time.process_time()
    fig = plot_map(v, voxels, limits=(0, 1), views=('medial',), outline=())
    fig.savefig(tmp_path/'m.png')
    first = time.process_time() - t
    text = ' '.join(o.get_text() for o in fig.texts).replace('\n', ' ')
    assert f'{len(voxels):,} voxels' in text and 'nearest voxel of its own area' in text and 'WU-Minn HCP' in text
    red = lambda f: sum(((im[..., 0] - im[..., 2]) > .3).sum()
                        for ax in f.axes
                        for im in [i.get_array() for i in ax.get_images()]
                        if np.ndim(im) == 3)
    empty = plot_map(v*0 + .5, voxels[['hemisphere', 'vertex']].assign(vertex=voxels.vertex),
                     limits=(0, 1), views=('medial', ), fill=False, outline=())
    assert red(fig) > 500 and red(fig) > 2*red(
        plot_map(v, voxels, limits=(0, 1), views=('medial', ), fill=False, outline=()))
    assert 'only those vertices' in ' '.join(o.get_text() for o in empty.texts)
    assert first < 15
    matplotlib.pyplot.close('all')


@pytest.mark.parametrize('method', ('haufe', 'gradient_x_input', 'gradient'))
def test_names_of_areas_and_the_scale_cover_nothing(voxels, method):
    import matplotlib
    matplotlib.use('Agg')
    fig = plot_map(np.linspace(0, 1, len(voxels)), voxels, title='x', label=METHOD_WORDS[method][1])
    r = fig.canvas.get_renderer()
    box = lambda t: t.get_window_extent(r)
    *maps, bar = fig.axes
    names = [[box(t) for t in ax.texts] for ax in maps]
    assert [len(n) for n in names] == [4, 1, 1, 4] # V3A, MT, MST and FFC outside, V1 inside
    assert not any(a.overlaps(b) for n in names for i, a in enumerate(n) for b in n[:i]) and all(
        fig.bbox.contains(*c) for n in names for b in n for c in b.corners())
    scale = box(bar.title)
    ticks = [
        box(t)
        for t in bar.get_xticklabels()
        if bar.get_xlim()[0] <= t.get_position()[0] <= bar.get_xlim()[1]
    ]
    caption, title = map(box, fig.texts)
    assert scale.x0 > 0 and scale.x1 < fig.bbox.x1 and scale.y1 < min(
        ax.bbox.y0 for ax in maps) and scale.y0 > bar.bbox.y1 and caption.y1 < min(
            t.y0 for t in ticks) and title.y0 > max(box(ax.title).y1 for ax in maps)
    matplotlib.pyplot.close('all')


def test_maps_pass_through_nilearn(voxels):
    "Its masker takes the image, and gives the voxels back."
    from nilearn.maskers import SurfaceMasker
    from nilearn.surface import SurfaceImage
    from semvideo.maps import from_surface_image, to_surface_image
    v = np.random.default_rng(0).standard_normal(len(voxels))
    image = to_surface_image(v, voxels)
    assert np.allclose(from_surface_image(image, voxels), v, rtol=1e-6)
    there = {part: np.isfinite(a) for part, a in image.data.parts.items()}
    mask = SurfaceImage(image.mesh, there)
    filled = SurfaceImage(image.mesh, {part: np.nan_to_num(a) for part, a in image.data.parts.items()})
    theirs = SurfaceMasker(mask, standardize=None).fit().transform(filled).ravel()
    order = np.lexsort((voxels.vertex, voxels.hemisphere))
    assert np.allclose(theirs, v[order], rtol=1e-6)
    small = SurfaceImage(image.mesh, image.data)
    small.data.parts['left'] = small.data.parts['left'][:10]
    with pytest.raises(SemvideoError, match='different meshes'): from_surface_image(small, voxels)
