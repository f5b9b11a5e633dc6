"""A new person: shared cortex, functional alignment, only the projector; nulls, misuse."""
import numpy as np, pandas as pd, pytest, torch
from semvideo import alignment, simulate
from semvideo.alignment import common_places, decode_new_subject, new_subject_curve, own_minutes
from semvideo.bundle import TextEncoder
from semvideo.core import SemvideoError
from semvideo.intervals import compare, time_blocks
from semvideo.sad import SAD
from semvideo.targets import target, text_targets
from semvideo.train import own_above_others

@pytest.fixture(scope='module')
def study(tmp_path_factory):
    cfg = simulate.miniature_config('nonlinear', n_subjects=4, n_train=3, n_test=1, test_repeats=3,
                                    share=.03, seed=11)
    s = simulate.scan_study(tmp_path_factory.mktemp('people')/'study', cfg)
    for split in s.splits: text_targets(s, split, TextEncoder('tiny'))
    return s

def named(study, **kw):
    "Identification of each test clip of subject 4."
    train = np.asarray(target(study, 'train', 'holistic'), np.float32)
    scaled = lambda y: torch.as_tensor((y - train.mean(0))/(train.std(0) + .01))
    p = decode_new_subject(study, 4, **kw)
    return own_above_others(scaled(p), scaled(np.asarray(target(study, 'test', 'holistic'), np.float32))).numpy()

def test_without_own_data_it_is_surely_above_every_null(study):
    blocks, got = time_blocks(study.select('test')), named(study)
    for null in (named(study, method='mean'), *(named(study, method='permuted', seed=s) for s in (0, 1))):
        assert compare(got, null, blocks)['low'] > .1

def test_alignment_beats_five_minutes_alone_surely_and_own_data_help(study):
    blocks = time_blocks(study.select('test'))
    aligned, own = named(study, minutes=5), named(study, minutes=5, method='own')
    assert compare(aligned, own, blocks)['low'] > 0
    assert named(study, minutes=20, method='own').mean() > own.mean() + .02

def test_a_template_of_other_films_aligns_nothing(study, monkeypatch):
    whole = named(study, minutes=10).mean()
    shuffled = lambda xs, rank=64: template([x[np.random.default_rng(0).permutation(len(x))] for x in xs], rank)
    template = alignment.template
    monkeypatch.setattr(alignment, 'template', shuffled)
    assert named(study, minutes=10).mean() < whole - .2

def test_only_the_projector_is_trained_with_and_without_a_linear_path(study):
    x, y = np.nanmean(study.fmri(4, 'train')[:60], 1), target(study, 'train', 'holistic')[:60]
    for linear in (True, False):
        torch.manual_seed(0)
        sad = SAD({1: 9}, hidden=16, mlp=(16, 16, 16), width=64, layers=1, heads=1, dim_head=8,
                  linear_path=linear, refine_rows=2, conditioning='channel')
        sad.scale.fit(torch.as_tensor(np.asarray(y, np.float32)))
        before = {k: v.clone() for k,v in sad.state_dict().items()}
        grown = alignment.add_subject(sad, 4, x.shape[1])
        start = grown.projector['4'].weight.clone()
        grown = alignment.fit_projector(grown, 4, x, y, np.array(['seg1']*60), epochs=1)
        after = grown.state_dict()
        assert all(torch.equal(v, after[k]) for k,v in before.items())
        assert not torch.equal(grown.projector['4'].weight, start) and '4' not in sad.projector
        assert grown(torch.as_tensor(x), 4).shape == (60, 77, 64)

def test_curve_leaves_out_what_needs_data(study):
    c = new_subject_curve(study, 4, (0, 5), ['anatomical', 'own', 'mean'])
    assert c[['method', 'minutes']].to_numpy().tolist() == [['anatomical', 0], ['own', 5], ['mean', 0]]
    assert c.identification.iloc[2] == .5

@pytest.mark.parametrize('kw, says', [
    (dict(minutes=25), 'fewer minutes'), (dict(method='ridge'), 'needs own data'),
    (dict(method='magic'), 'Unknown method'), (dict(minutes=5, method='projector'), 'trained decoder'),
    (dict(space='voxel'), 'Unknown space')])
def test_misuse_is_one_clear_error(study, kw, says):
    with pytest.raises(SemvideoError, match=says): decode_new_subject(study, 4, **kw)

def test_no_training_data_no_shared_films_other_grids(study, tmp_path):
    import shutil
    from semvideo.core import Study
    shutil.copytree(study.path, tmp_path/'s')
    s = Study(tmp_path/'s')
    x = np.array(s.fmri(4, 'train'))
    s.save_fmri(4, 'train', np.full_like(x, np.nan))
    for m in ('procrustes', 'own'):
        with pytest.raises(SemvideoError, match='no training data'): decode_new_subject(s, 4, 5, m)
    (s.path/'fmri/sub-4/train.npy').unlink()
    with pytest.raises(SemvideoError, match='no training data'): decode_new_subject(s, 4, 5)
    assert decode_new_subject(s, 4).shape == (240, 77, 64)
    x[240:] = np.nan
    s.save_fmri(4, 'train', x)
    other = np.array(s.fmri(2, 'train'))
    other[:240] = np.nan
    s.save_fmri(2, 'train', other)
    with pytest.raises(SemvideoError, match='share no films'): decode_new_subject(s, 4, 5)
    assert len(own_minutes(s, 4, 8)) == 240
    s.save_voxels(4, s.voxels(4).assign(parcel=''))
    with pytest.raises(SemvideoError, match='share no parcel'): decode_new_subject(s, 4)

def test_a_vertex_in_other_areas_is_another_grid():
    table = pd.DataFrame(dict(hemisphere='L', vertex=range(40), parcel=['V1']*20 + ['V2']*20))
    assert len(common_places({1: table, 2: table}, 'vertex')[0]) == 40
    with pytest.raises(SemvideoError, match='different grids'):
        common_places({1: table, 2: table.assign(parcel=table.parcel[::-1].to_numpy())}, 'vertex')

def test_procrustes_is_fmraligns():
    "On one grid, where it applies; fmralign is a test requirement alone."
    methods = pytest.importorskip('fmralign.methods')
    r = np.random.default_rng(0)
    a, b = (x - x.mean(0) for x in r.normal(size=(2, 50, 6)))
    theirs = methods.Procrustes(scaling=True)
    theirs.fit(a, b)
    w, scale = alignment.procrustes(a, b)
    assert np.allclose(theirs.transform(a), scale*a @ w, atol=1e-12)
