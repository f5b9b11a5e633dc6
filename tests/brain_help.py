"""What the tests of the brain rooms share: a decoder that reads three parcels, and voxels around it."""
import numpy as np
import torch
import pandas as pd
import pytest
from torch import nn
from semvideo.core import rng_for
from semvideo.neuro import atlas


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
