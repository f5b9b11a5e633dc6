"""Where do I add ...? A package of somebody else adds one of each by one registration, and every verb
takes it."""
import json
import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import harness

OUTSIDE = '''
"A module outside semvideo: one registration each."
import shutil
from dataclasses import dataclass
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from torch import nn
from semvideo.bundle import register_bundle
from semvideo.core import Config, Study, write_npy
from semvideo.datasets import dataset, option
from semvideo.decoder_parts import Standardiser, as_config
from semvideo.decoders import TrainConfig, register_decoder
from semvideo.evaluate import register_null
from semvideo.metrics import register_judge, register_metric
from semvideo.mllm import register_backend
from semvideo.report import register_view
from semvideo.semminer import Answer, Backend
from semvideo.cli import opt, say, verb

# a data set
@dataset('squares', shade=option('grey of the background (default: 90)', type=int, metavar='GREY'))
def prepare_squares(root, out, n_frames=8, size=None, shade=90, subjects=(1,)):
    "Squares that drift, and voxels that are their colour."
    rng = np.random.default_rng(0)
    rows = [dict(clip_id=f'{split}{i:02d}', split=split, segment=f'{split}{i//6}', onset_s=float(12*i), duration_s=2., source='x')
            for split, n in (('train', 24), ('test', 6)) for i in range(n)]
    study = Study.create(out, 'squares', 'drawn', pd.DataFrame(rows), dict(shade=shade), exist_ok=True)
    stage = study.stage('prepare', dict(shade=shade))
    if stage.done: return study
    files = [study.path/'manifest.json', study.path/'clips.csv']
    for split in study.splits:
        n = len(study.clip_ids(split))
        colours, frames = rng.integers(256, size=(n, 3)), np.full((n, n_frames, 64, 64, 3), shade, np.uint8)
        for f in range(n_frames): frames[:, f, 22:42, 16+2*f:36+2*f] = colours[:, None, None]
        write_npy(study.path/f'frames/{split}.npy', frames)
        fmri = np.repeat(colours, 4, 1)[:, None] + rng.normal(size=(n, 2, 12))
        study.save_fmri(1, split, fmri.astype(np.float32))
        files += [study.path/f'frames/{split}.npy', study.path/f'fmri/sub-1/{split}.npy']
    stage.finish(files)
    return study

# a caption backend
@register_backend('parrot', needs=('model',))
class Parrot(Backend):
    "Says what it was told to say, and the brightness of what it sees."
    name = 'parrot'
    def __init__(self, model): self.model = model
    def open(self, frames, key, system=''):
        self.grey = int(frames.mean())
        return self
    def ask(self, level, prompt): return Answer(f'a {self.model} of brightness {self.grey}')

# a bundle
register_bundle('theirs', Path(__file__).parent/'bundle')

# a judge, and a metric that asks it
class MeanColour(nn.Module):
    def forward(self, x): return x.mean((2, 3))

def load_mean_colour(where, revision=None):
    return MeanColour(), dict(side=8, mean=(0, 0, 0), std=(1, 1, 1), crop=False, resample=2), 'mean-colour-1'

register_judge('mean_colour', load_mean_colour, id='mean-colour', revision='1', judges='colour', always=True)
register_metric('Redness', lambda pair: (pair.recon[..., 0].mean((1, 2, 3)) - pair.truth[..., 0].mean((1, 2, 3)))/255.,
                'share', chance=0., ideal=0., lower=True, judge='mean_colour')

# a null
register_null('plain grey', lambda recon, train, seed, segments: np.full_like(recon, 128))

# a decoder
@dataclass(frozen=True)
class StillConfig(Config):
    latent: tuple = (4, 8, 8)

class Still(nn.Module):
    "One linear layer from voxels to a latent that does not move."
    def __init__(self, n_voxels, n_frames, config):
        super().__init__()
        self.config, self.n_voxels, self.n_frames = as_config(StillConfig, config, {}), n_voxels, n_frames
        sizes = {str(s): v for s, v in n_voxels.items()}
        self.voxels = nn.ModuleDict({s: Standardiser((v,)) for s, v in sizes.items()})
        self.projector = nn.ModuleDict({s: nn.Linear(v, 4*8*8) for s, v in sizes.items()})
        self.scale = Standardiser((1, 4, 1, 1))
    def reads(self): return 'latents', None
    def item_shape(self): return self.n_frames, *self.config.latent
    def frames(self, fmri, subject):
        still = self.projector[str(subject)](self.voxels[str(subject)](fmri))
        return still.view(-1, 1, *self.config.latent).expand(-1, self.n_frames, -1, -1, -1)
    def forward(self, fmri, subject): return self.scale.inverse(self.frames(fmri, subject))
    def loss(self, fmri, target, subject, progress=0., projected=None):
        return dict(loss=(self.frames(fmri, subject)-self.scale(target)).square().mean())

quick = TrainConfig(epochs=2, batch=12, lr=3e-3, repeats='average', validate=0)
register_decoder('still', Still, lambda study, n_voxels, model: Still(n_voxels, 8, model), pretrain=quick, tune=quick)

# a view of the widget
register_view('brightness', lambda explorer, i: f'<p>brightness {explorer.truth[i].mean():.0f}</p>')

# a verb
@verb(opt('--times', type=int, default=1, help='how often (default: 1)'))
def do_hello(a):
    "Greet."
    for _ in range(a.times): say('hello')
'''
STATES = ("sad-anchor", "sad-motion", "sad-holistic", "still")


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    "A folder with somebody's module and bundle, and a function that runs a verb with it."
    from semvideo.bundle import bundle_path
    folder = tmp_path_factory.mktemp("outside")
    (folder/"outside_semvideo.py").write_text(OUTSIDE)
    shutil.copytree(bundle_path("tiny"), folder/"bundle")
    env = dict(SEMVIDEO_PLUGINS="outside_semvideo", PYTHONPATH=str(folder))

    def run(*words, env=env):
        command = harness.Command(*words, env=env)
        out, err = command.communicate()
        return command.returncode, out, err

    return folder, run


@pytest.fixture(scope="module")
def study(outside):
    "A study that went through every verb with what the module adds."
    folder, run = outside
    path, recipe = folder/"study", folder/"recipe.json"
    from semvideo.train import RECIPES
    small = RECIPES["miniature"].to_dict()
    small["sad"] |= dict(hidden=12, mlp=[16, 16, 16], layers=1)
    for key in small:
        if key.endswith(("pretrain", "tune")): small[key] |= dict(epochs=1, batch=12)
    recipe.write_text(json.dumps(small))
    steps = [
        ["prepare", "--dataset", "squares", "--root", folder, "--shade", "60"],
        ["mine", "--backend", "parrot", "--model", "square"],
        ["targets", "--bundle", "theirs"],
        ["train", "--parts", *STATES, "--recipe", recipe],
        ["decode", "--parts", *STATES],
        ["render"],
        ["evaluate", "--ceilings", "0", "--models", "tiny"],
    ]
    said = {}
    for words in steps:
        code, out, err = run(*words, "--study", path)
        assert code == 0, (words, err[-3000:])
        said[words[0]] = out
    return path, said


def test_a_data_set(study):
    from semvideo.core import Study
    s = Study(study[0])
    assert s.manifest["name"] == "squares" and s.frames("train")[0, 0, 0, 0, 0] == 60
    assert "squares" in study[1]["prepare"]


def test_a_caption_backend(study):
    from semvideo.core import Study
    captions = Study(study[0]).captions("train")
    assert captions.anchor.str.startswith(
        "a square of brightness").all() and captions.anchor.nunique() > 1


def test_a_bundle(study):
    from semvideo.core import Study
    assert Study(study[0]).settings_of("targets")["bundle"] == "theirs"


def test_a_decoder(study):
    import numpy as np
    from semvideo.core import Decoded
    latents = Decoded.load(study[0]/"decode/sub-1/test.safetensors").latents
    assert latents.shape[1] == 8 and np.ptp(latents, axis=1).max() == 0. and latents.std() > 0


def test_a_null_a_metric_and_the_judge_it_asks(study):
    table = pd.read_csv(study[0]/"evaluate/sub-1/results.csv")
    red = table[table.metric == "Redness"].set_index("system").value
    assert {"SemVideo", "plain grey"} <= set(
        red.index) and red["plain grey"] > red["static first frame"]
    assert "Redness" in study[1]["evaluate"]


def test_a_view_of_the_explorer(study, outside, monkeypatch):
    import subprocess
    code = f"""
import outside_semvideo
from semvideo.core import Study
from semvideo.report import Explorer
explorer = Explorer(Study({str(study[0])!r}), 1).show(2)
print(explorer.views['brightness'].value)
"""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(outside[0]), *sys.path]))
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert r.returncode == 0 and r.stdout.startswith("<p>brightness"), r.stderr[-2000:]


def test_a_verb(outside):
    assert outside[1]("hello", "--times", "2")[1].split() == ["hello", "hello"]


def test_what_is_not_there_is_said_in_one_line(outside, tmp_path):
    "Without the module its names are unknown; a module that does not import is named."
    run = outside[1]
    code, _, err = run("prepare", "--dataset", "squares", "--root", tmp_path, "--study",
                       tmp_path/"s", env={})
    assert code == 2 and "squares" in err and "cc2017" in err
    code, _, err = run("doctor", env=dict(SEMVIDEO_PLUGINS="no_module_of_this_name"))
    assert code == 2 and "no_module_of_this_name" in err and "Traceback" not in err
