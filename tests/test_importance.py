"""600_importance: every measure finds the parcels a decoder reads, and leaves the decoder as it was."""
import numpy as np
import pytest
import torch
from semvideo.core import SemvideoError, rng_for
from semvideo.neuro import IMPORTANCE_METHODS, clip_mean, haufe, importance, planted_table, roi_occlusion
from brain_help import Decoder, ROLES, voxels as voxels, decoder as decoder, fmri as fmri


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
