"195_bundle: bundles by name: one registration, and what it refuses."
import shutil
import pytest
from semvideo import bundle
from semvideo.core import SemvideoError
from study_help import refuses

@pytest.fixture
def mine(tmp_path):
    "A copy of the tiny bundle with another name and schedule, registered for one test."
    folder = shutil.copytree(bundle.bundle_path('tiny'), tmp_path/'mine')
    config = bundle.bundle_config('tiny').replace(name='mine', steps=7)
    (folder/'bundle.json').write_text(config.to_json())
    before = dict(bundle.BUNDLES)
    bundle.register_bundle('mine', folder)
    yield folder
    bundle.BUNDLES.clear()
    bundle.BUNDLES.update(before)

def test_a_registered_bundle_stands_wherever_tiny_does(mine):
    from semvideo.cvr import CVR, RenderConfig
    from semvideo.targets import bundle_content, bundle_places
    assert bundle.bundle_path('mine') == mine and bundle.bundle_config('mine').steps == 7
    assert bundle.load_part('mine', 'scheduler').config == bundle.load_part(mine,
                                                                            'scheduler').config
    assert RenderConfig(bundle='mine').resolved().steps == 7 and CVR('mine').bundle.name == 'mine'
    assert bundle_content('mine') == bundle_content(mine) != bundle_content('tiny')
    assert bundle_places('mine') == dict(bundle=mine)

def test_a_name_is_taken_once(mine, tmp_path):
    bundle.register_bundle('mine', mine) # the same again changes nothing
    for name in ('tiny', 'sd15', 'mine'):
        other = bundle.bundle_path('tiny') if name == 'mine' else mine
        with pytest.raises(SemvideoError, match='a bundle of this name'):
            bundle.register_bundle(name, other)

def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(SemvideoError, match="(?s)Not a bundle.*'tiny', 'sd15' or a folder"):
        bundle.register_bundle('empty', tmp_path)
    assert 'empty' not in bundle.BUNDLES

def test_a_path_is_never_taken_for_a_name(tmp_path, monkeypatch):
    "A folder that happens to be called tiny, given as a path, is that folder."
    from pathlib import Path
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SemvideoError, match='Not a bundle'):
        bundle.bundle_path(Path('tiny'))

def test_pickled_weights_are_not_read(tmp_path):
    import shutil, torch
    from safetensors.torch import load_file
    from semvideo.bundle import bundle_path, load_part
    d = tmp_path/"b"
    shutil.copytree(bundle_path("tiny"), d)
    f = next((d/"text_encoder").glob("*.safetensors"))
    torch.save(load_file(f), d/"text_encoder/pytorch_model.bin")
    f.unlink()
    refuses(lambda: load_part(d, "text_encoder"), "Cannot load text_encoder", "safetensors")

@pytest.mark.parametrize('part', ['text_encoder', 'vae', 'unet', 'motion_adapter'])
def test_a_bundle_with_weights_missing_is_refused(part, tmp_path):
    import shutil, safetensors.torch as st
    from semvideo.bundle import bundle_path, load_part
    d = shutil.copytree(bundle_path('tiny'), tmp_path/'b')
    f = next((d/part).glob('*.safetensors'))
    w = st.load_file(f)
    w.pop(sorted(w)[3])
    st.save_file(w, f, metadata=dict(format='pt'))
    with pytest.raises(SemvideoError, match='Weights are missing'): load_part(d, part)
    f.write_bytes(b'')
    with pytest.raises(SemvideoError, match=f'Cannot load {part}'): load_part(d, part)
