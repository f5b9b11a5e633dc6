"""605_cortex, 620_maps: Connectome Workbench itself opens the CIFTI and GIFTI files that are written, and reads our values from them."""
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from semvideo.cortex import toy_voxels
from semvideo.maps import write_dscalar, write_metric

pytestmark = pytest.mark.skipif(shutil.which('wb_command') is None, reason="needs wb_command: Debian's connectome-workbench")
NAMES = ['anchor agreement', 'motion haufe']


def wb(*words):
    return subprocess.run(['wb_command', *map(str, words)], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope='module')
def voxels():
    "Not in the order of a CIFTI file."
    return toy_voxels().sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.fixture(scope='module')
def maps(voxels):
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=len(voxels)).astype(np.float32) for name in NAMES}


def on_mesh(values, voxels, side):
    "Values at their vertices, NaN elsewhere."
    here, out = voxels.hemisphere == side, np.full(32492, np.nan, np.float32)
    out[voxels.vertex[here]] = values[here]
    return out


def test_it_opens_the_dense_scalar_and_separates_our_values(voxels, maps, tmp_path):
    file = write_dscalar(tmp_path/'maps.dscalar.nii', maps, voxels)
    says = wb('-file-information', file)
    assert 'CIFTI - Dense Scalar' in says or 'Dense Scalar' in says
    assert wb('-file-information', file, '-only-map-names').split('\n')[:2] == NAMES
    for side, name in (('L', 'CORTEX_LEFT'), ('R', 'CORTEX_RIGHT')):
        out, roi = tmp_path/f'{side}.func.gii', tmp_path/f'{side}.roi.func.gii'
        wb('-cifti-separate', file, 'COLUMN', '-metric', name, out, '-roi', roi)
        inside = nib.load(roi).darrays[0].data > 0
        for array, values in zip(nib.load(out).darrays, maps.values()):
            wanted = on_mesh(values, voxels, side)
            assert (inside == np.isfinite(wanted)).all() and np.array_equal(array.data[inside], wanted[inside])


@pytest.mark.parametrize('side', 'LR')
def test_it_opens_the_metric_and_computes_with_our_values(voxels, maps, tmp_path, side):
    file = write_metric(tmp_path/f'maps.{side}.func.gii', maps, voxels, side)
    says = wb('-file-information', file)
    assert dict(L='CortexLeft', R='CortexRight')[side] in says.replace('CORTEX_LEFT', 'CortexLeft').replace('CORTEX_RIGHT', 'CortexRight')
    assert wb('-file-information', file, '-only-map-names').split('\n')[:2] == NAMES
    wb('-metric-math', 'x + 1', tmp_path/'out.func.gii', '-var', 'x', file)
    for array, values in zip(nib.load(tmp_path/'out.func.gii').darrays, maps.values()):
        assert np.allclose(array.data, on_mesh(values, voxels, side) + 1, equal_nan=True, rtol=1e-6)


def test_it_refuses_what_is_no_such_file(voxels, maps, tmp_path):
    file = write_dscalar(tmp_path/'maps.dscalar.nii', maps, voxels)
    file.write_bytes(file.read_bytes()[:600])
    with pytest.raises(subprocess.CalledProcessError): wb('-file-information', file)
