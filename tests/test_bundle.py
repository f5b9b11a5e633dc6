"Bundles by name: one registration, and what it refuses."
import shutil
import pytest
from semvideo import bundle
from semvideo.core import SemvideoError

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
