"""329_hub: decoders and the renderer go to a folder and come back as the same numbers."""
import json
from pathlib import Path

import pytest
import torch
from semvideo.core import SemvideoError
from semvideo.mad import MAD, MAD_MINIATURE
from semvideo.sad import SAD, SAD_MINIATURE
from semvideo.train import load, save


@pytest.fixture(scope='module')
def sad():
    torch.manual_seed(0)
    return SAD({1: 30, 'S07': 20}, SAD_MINIATURE, tokens=4, width=8).eval()


@pytest.fixture(scope='module')
def mad():
    torch.manual_seed(0)
    return MAD({1: 30}, 8, MAD_MINIATURE).eval()


def same(a, b):
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_sad_comes_back_and_reads_the_same(sad, tmp_path):
    sad.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['README.md', 'config.json', 'model.safetensors']
    again = SAD.from_pretrained(tmp_path)
    same(again.state_dict(), sad.state_dict())
    assert again.config == sad.config and again.n_voxels == sad.n_voxels and not again.training
    x = torch.randn(2, 20)
    with torch.no_grad(): assert torch.equal(again(x, 'S07'), sad(x, 'S07'))


def test_mad_comes_back_and_training_writes_the_same_form(mad, tmp_path):
    mad.save_pretrained(tmp_path/'hub')
    save(mad, tmp_path/'trained')
    for name in ('config.json', 'model.safetensors'):
        assert (tmp_path/'hub'/name).read_bytes() == (tmp_path/'trained'/name).read_bytes()
    same(MAD.from_pretrained(tmp_path/'trained').state_dict(), mad.state_dict())
    same(load(tmp_path/'hub').state_dict(), mad.state_dict())


def test_the_card_says_whose_voxels(sad, tmp_path):
    sad.save_pretrained(tmp_path)
    card = (tmp_path/'README.md').read_text()
    assert 'subject 1, 30 voxels; subject S07, 20 voxels' in card and 'license: apache-2.0' in card
    assert 'from semvideo.sad import SAD' in card and 'library_name: semvideo' in card and 'fmri' in card


def test_another_kind_or_broken_weights_are_refused(sad, tmp_path):
    sad.save_pretrained(tmp_path)
    with pytest.raises(SemvideoError, match='Another kind of decoder'): MAD.from_pretrained(tmp_path)
    d = json.loads((tmp_path/'config.json').read_text())
    d['n_voxels'][0][1] = 31
    (tmp_path/'config.json').write_text(json.dumps(d))
    with pytest.raises(RuntimeError, match='size mismatch'): SAD.from_pretrained(tmp_path)


def test_the_cvr_pipeline_comes_back(tmp_path):
    from semvideo.pipeline import SemVideoPipeline
    pipe = SemVideoPipeline.from_bundle('tiny')
    pipe.save_pretrained(tmp_path, safe_serialization=True)
    files = [p for p in Path(tmp_path).rglob('*') if p.is_file()]
    assert not [p for p in files if p.suffix in ('.bin', '.pt', '.ckpt', '.pkl')]
    again = SemVideoPipeline.from_pretrained(tmp_path)
    for part in ('unet', 'vae', 'text_encoder'):
        if getattr(pipe, part, None) is not None: same(getattr(again, part).state_dict(), getattr(pipe, part).state_dict())
    assert hasattr(SemVideoPipeline, 'push_to_hub')
