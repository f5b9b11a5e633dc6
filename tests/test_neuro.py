"""What a reader of the rooms of neuro would skip: invariances, nulls under permutation, a non-linear
decoder, bad input, speed of maps."""
import numpy as np, pandas as pd, pytest, time
torch = pytest.importorskip('torch')
from torch import nn
from semvideo.core import SemvideoError, Study, read_csv, rng_for, write_json
from semvideo.neuro import (ExplainConfig, IMPORTANCE_METHODS, atlas, auc, bare_parcel, clip_mean,
                            explain_study, fdr, haufe, importance, load_roles, load_surface,
                            METHOD_WORDS, patch_indices, patch_means, planted_table, plot_map,
                            roi_occlusion, roi_table, sphere_points, spin_indices, to_surface)

AREAS = ('V1', 'V2', 'MT', 'MST', 'TPOJ1', 'FFC', 'VVC', '4', '3b', '10d')
ROLES = {
    'V1': 'early',
    'V2': 'early',
    'MT': 'motion',
    'MST': 'motion',
    'TPOJ1': 'motion',
    'FFC': 'meaning',
    'VVC': 'meaning',
    '4': 'none',
    '3b': 'none',
    '10d': 'none'
}

class Decoder(nn.Module):
    "SAD's call, or MAD's when it is given motion text: one hidden layer and a bend."
    def __init__(self, mask, seed=0, out=6):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.mappers = nn.ModuleDict({
            '1': nn.Linear(len(mask), 12, bias=False),
            '2': nn.Linear(7, 12, bias=False)
        })
        self.mappers['1'].weight.data = torch.randn(12, len(mask), generator=g)*torch.as_tensor(
            mask, dtype=torch.float32)/np.sqrt(mask.sum())
        self.head = nn.Linear(12, 2*out); self.drop = nn.Dropout(.5)
    def forward(self, fmri, *rest):
        *text, subject = rest
        h = self.head(self.drop(torch.nn.functional.gelu(
            self.mappers[str(subject)](fmri)))).reshape(len(fmri), 2, -1)
        return h*(1 + text[0].mean((1, 2), keepdim=True)) if text else h

@pytest.fixture(scope='module')
def voxels():
    v = pd.DataFrame([
        dict(hemisphere=h, vertex=int(i), parcel=p)
        for h in 'LR'
        for p in AREAS
        for i in np.flatnonzero(atlas(h) == p)[::5]
    ])
    return v.assign(grayordinate=range(len(v)), reliability=.5, p=.01)

@pytest.fixture(scope='module')
def decoder(voxels):
    return Decoder(voxels.parcel.isin(['MT', 'MST', 'TPOJ1']).to_numpy(float))

@pytest.fixture(scope='module')
def fmri(voxels):
    return rng_for('test_neuro').standard_normal((40, len(voxels))).astype(np.float32)

@pytest.mark.parametrize('method', IMPORTANCE_METHODS)
def test_every_measure_finds_the_parcels_the_decoder_reads(method, decoder, fmri, voxels):
    # correlations need clips: each voxel carries a sixtieth of what is decoded
    x = rng_for('many').standard_normal(
        (600, len(voxels))).astype(np.float32) if method == 'haufe' else fmri
    v = importance(decoder, x, 1, method,
                   **({} if method in ('haufe', 'weights') else dict(n_probes=8)))
    assert v.shape == (len(voxels), ) and v.dtype == np.float64 and (
        v >= 0).all() and np.isfinite(v).all()
    t = planted_table(v, voxels, ROLES, n_perm=499).set_index('role')
    assert t.auc['motion'] > (.85 if method == 'haufe' else .95)
    assert t.p['motion'] <= .11 and t.auc_none['motion'] > .6 and abs(t.auc_none['early'] -
                                                                      .5) < .15

def test_importance_leaves_the_module_as_it_was(decoder, fmri):
    decoder.train()
    decoder.head.bias.requires_grad_(False)
    importance(decoder, fmri[:3], 1, n_probes=1)
    assert decoder.training and not decoder.head.bias.requires_grad and decoder.head.weight.requires_grad and decoder.head.weight.grad is None

def test_dropout_is_off_and_batches_do_not_matter(decoder, fmri):
    a, b = importance(decoder, fmri, 1, n_probes=2,
                      batch=40), importance(decoder, fmri, 1, n_probes=2, batch=3)
    np.testing.assert_allclose(a, b, rtol=1e-4)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_allclose(a, importance(decoder, fmri[order], 1, n_probes=2), rtol=1e-4)
    assert not np.allclose(a, importance(decoder, fmri, 1, n_probes=2, seed=1))

def test_voxel_order_is_followed(decoder, fmri, voxels):
    order = np.random.default_rng(0).permutation(len(voxels))
    other = Decoder(np.ones(len(voxels)))
    other.load_state_dict(decoder.state_dict())
    other.mappers['1'].weight.data = decoder.mappers['1'].weight.data[:, order]
    np.testing.assert_allclose(
        importance(decoder, fmri, 1, n_probes=2)[order],
        importance(other, fmri[:, order], 1, n_probes=2), rtol=1e-4)

def test_motion_decoder_takes_motion_text(decoder, fmri):
    text = np.ones((40, 5, 3), np.float32)
    np.testing.assert_allclose(importance(decoder, fmri, 1, 'gradient', text, n_probes=2),
                               2*importance(decoder, fmri, 1, 'gradient', n_probes=2), rtol=1e-4)

def test_repeats_are_averaged_and_missing_ones_left_out(decoder, fmri):
    x = np.stack([fmri, fmri], 1); x[3, 1] = np.nan
    np.testing.assert_allclose(clip_mean(x), fmri, rtol=1e-6)
    bad = fmri.copy(); bad[0, 0] = np.nan
    with pytest.raises(SemvideoError, match='cannot be explained'):
        importance(decoder, bad, 1)

def test_weights_of_the_right_subject(decoder, voxels):
    assert importance(decoder, np.zeros((1, 7)), 2, 'weights').shape == (7,)
    with pytest.raises(SemvideoError, match='No input layer'):
        importance(decoder, np.zeros((1, 9)), 1, 'weights')

def test_haufe_matches_its_matrix_form():
    """A = cov(x) W cov(s)^-1 for a linear decoder, written out: same squared norm per voxel, weighted by
    the decoded variance."""
    r = np.random.default_rng(0)
    x = r.standard_normal((200, 30))
    x = (x - x.mean(0))/x.std(0)
    w = r.standard_normal((30, 3))
    s = x @ w
    val, vec = np.linalg.eigh(np.cov(s.T, bias=True))
    a = np.cov(x.T, bias=True) @ w @ vec/np.sqrt(val)
    np.testing.assert_allclose(haufe(x, s, keep=1.), np.sqrt(a**2 @ (val/val.sum())), rtol=1e-4)

def test_occlusion_finds_what_is_read_and_only_that(decoder, fmri, voxels):
    with torch.no_grad(): target = decoder.eval()(torch.as_tensor(fmri), 1).numpy()
    t = roi_occlusion(decoder, fmri, 1, voxels, target, n_boot=200).set_index('parcel')
    assert set(t.index[:3]) == {'MT', 'MST', 'TPOJ1'} and (t.low[['MT', 'MST', 'TPOJ1']] > 0).all()
    np.testing.assert_allclose(t.loss[['V1', 'FFC', '4']], 0, atol=1e-6)
    with pytest.raises(SemvideoError, match='differ in shape'):
        roi_occlusion(decoder, fmri, 1, voxels, target[:, :1])

def test_roi_table_sums_and_ranks(voxels):
    v = np.arange(len(voxels), dtype=float); t = roi_table(v, voxels)
    assert t['sum'].sum() == pytest.approx(
        v.sum()) and t.share.sum() == pytest.approx(1) and t.n.sum() == len(v)
    assert t['mean'].is_monotonic_decreasing and t['rank'].tolist() == list(range(1, len(t) + 1))
    order = np.random.default_rng(0).permutation(len(v))
    pd.testing.assert_frame_equal(
        roi_table(v[order], voxels.iloc[order]).drop(columns='rank'), t.drop(columns='rank'))
    prefixed = voxels.assign(parcel=voxels.hemisphere + '_' + voxels.parcel + '_ROI')
    pd.testing.assert_frame_equal(roi_table(v, prefixed), t)

def test_p_is_never_zero_and_follows_the_seed(voxels):
    v = (voxels.parcel == 'MT').to_numpy(float)
    a, b = roi_table(v, voxels, 'patch', 99), roi_table(v, voxels, 'patch', 99)
    assert a.p.min() >= 1/100 and (a.q >= a.p - 1e-12).all() and a.equals(b)
    with pytest.raises(SemvideoError, match='Unknown null'): roi_table(v, voxels, 'moran')

def test_patches_are_compact_and_of_one_hemisphere(voxels):
    xyz, hemi = sphere_points(voxels), voxels.hemisphere.to_numpy()
    for rows in patch_indices(voxels, 12, 20):
        for i in rows:
            assert len(set(i)) == 12 and len(set(hemi[i])) == 1
            d = np.linalg.norm(xyz[hemi == hemi[i[0]]] - xyz[i[0]], axis=1)
            assert np.linalg.norm(xyz[i] - xyz[i[0]], axis=1).max() <= np.sort(d)[11] + 1e-9
    patches = patch_indices(voxels, 12, 20)
    v = np.random.default_rng(0).random(len(voxels))
    sizes = patch_means(v, patches, [3, 12])
    np.testing.assert_allclose(sizes[12], patch_means(v, patches))
    np.testing.assert_allclose(sizes[3], patch_means(v, [p[:, :3] for p in patches]))

def test_spins_are_permutation_like_on_the_whole_cortex():
    whole = pd.concat([
        pd.DataFrame(dict(hemisphere=h, vertex=np.flatnonzero(atlas(h) != '')[::20])) for h in 'LR'
    ], ignore_index=True)
    s = spin_indices(whole, 9, max_degrees=8.)
    hemi = whole.hemisphere.to_numpy()
    assert s.shape == (9, len(whole)) and (s >= 0).mean() > .8 and all(
        (hemi[i[i >= 0]] == hemi[i >= 0]).all() for i in s)
    assert (s == np.arange(len(whole))).mean() < .05 and (spin_indices(whole, 9, max_degrees=8.)
                                                          == s).all()

def test_fdr_and_auc_against_plain_definitions():
    r = np.random.default_rng(0); p = r.random(20)
    assert np.allclose(fdr(p), [min(1, min(20*q/(p <= q).sum() for q in p if q >= o)) for o in p])
    v, m = r.integers(0, 9, 50).astype(float), r.random(50) < .4
    assert auc(v, m) == pytest.approx(np.mean([(a > b) + .5*(a == b) for a in v[m] for b in v[~m]]))

def test_planted_p_is_uniform_when_nothing_is_planted(voxels):
    "Maps with noise shared within parcels: p below 0.25 in about a quarter of them."
    parcels = voxels.parcel.to_numpy(str)
    code = np.unique(parcels, return_inverse=True)[1]
    ps = []
    for i in range(120):
        r = rng_for('uniform', i)
        v = r.standard_normal(len(AREAS))[code] + r.standard_normal(len(voxels))
        ps.append(planted_table(v, voxels, ROLES, n_perm=199, seed=i).p.iloc[1])
    assert .12 < np.mean(np.array(ps) <= .25) < .4

def test_planted_table_without_idle_parcels_and_with_roles_together(voxels):
    some = voxels[voxels.parcel.isin(['V1', 'MT', 'FFC'])]
    v = some.parcel.isin(['V1', 'FFC']).to_numpy(float)
    t = planted_table(v, some, ROLES, ('early', 'meaning'), 99).set_index('role')
    assert t.auc['early + meaning'] == 1 and t.auc['motion'] == 0 and t.auc_none.isna().all() and (
        t.p > 0).all()
    assert np.isnan(
        planted_table(v, some, ROLES, ('early', 'motion', 'meaning'),
                      99).set_index('role').auc['early + motion + meaning'])

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

def test_explain_study_writes_everything_twice_the_same(decoder, fmri, voxels, tmp_path):
    clips = pd.DataFrame(
        dict(clip_id=[f'c{i}' for i in range(40)], split='test', segment='test1',
             onset_s=np.arange(40)*2., duration_s=2., source='x.mp4'))
    made = []
    for name in ('a', 'b'):
        study = Study.create(tmp_path/name, 's', 'a test', clips)
        study.save_fmri(1, 'test', fmri[:, None])
        study.save_voxels(1, voxels)
        write_json(study.path/'truth/parcels.json', ROLES)
        st = explain_study(study, 1, ExplainConfig(n_null=49, n_probes=2, methods=('gradient', )),
                           decoders={
                               'motion': decoder,
                               'latents': decoder
                           }, seed=3)
        made.append(st.dir)
    names = sorted(p.name for p in made[0].iterdir())
    assert names == [
        'latents.csv', 'latents_gradient.png', 'latents_roi.csv', 'motion.csv',
        'motion_gradient.png', 'motion_roi.csv', 'planted.csv'
    ]
    assert all(
        (made[0]/n).read_bytes() == (made[1]/n).read_bytes() for n in names if n.endswith('csv'))
    t = read_csv(made[0]/'planted.csv')
    assert t[(t.level == 'motion') & t.expected].auc.item() > .95
    assert len(read_csv(
        made[0]/'motion.csv')) == len(voxels) and study.events()[-1]['by'] == 'explain'

def test_explain_study_says_what_is_missing(fmri, voxels, tmp_path):
    clips = pd.DataFrame(
        dict(clip_id=['a', 'b'], split='test', segment='t', onset_s=[0., 2.], duration_s=2.,
             source='x.mp4'))
    study = Study.create(tmp_path/'s', 's', 'a test', clips)
    study.save_fmri(1, 'test', fmri[:2, None])
    study.save_voxels(1, voxels)
    with pytest.raises(SemvideoError, match='semvideo train'): explain_study(study, 1)
    with pytest.raises(SemvideoError, match='semvideo decode'):
        explain_study(study, 1, decoders={'latents': Decoder(np.ones(len(voxels)))})
    with pytest.raises(SemvideoError, match="did you mean 'method"):
        explain_study(study, 1, method='haufe')
    with pytest.raises(SemvideoError, match='No planted truth'):
        load_roles(study, tmp_path/'nothing')
    assert load_roles(study) is None
