"""622_fsaverage: maps on the mesh of fsaverage5, held to spheres whose answer is known, to nilearn's and to Workbench's own resampling."""
import importlib.util
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_fsaverage
from semvideo.core import SemvideoError
from semvideo.cortex import load_surface, toy_voxels
from semvideo.fsaverage import (fsaverage5_corners, maps_to_fsaverage5, metric_to_fsaverage5, sphere_corners, to_fsaverage5,
                                weighted_corners)
from semvideo.maps import write_metric

HCP = 'fs_LR-deformed_to-fsaverage.{side}.sphere.32k_fs_LR.surf.gii'
smriprep = pytest.mark.skipif(importlib.util.find_spec('smriprep') is None, reason='needs smriprep: pip install --no-deps smriprep')


def turned(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.]])


def write_surface(path, vertices, faces):
    point = nib.gifti.GiftiDataArray(vertices.astype(np.float32), 'NIFTI_INTENT_POINTSET', 'NIFTI_TYPE_FLOAT32')
    triangle = nib.gifti.GiftiDataArray(faces.astype(np.int32), 'NIFTI_INTENT_TRIANGLE', 'NIFTI_TYPE_INT32')
    nib.save(nib.gifti.GiftiImage(darrays=[point, triangle]), path)
    return path


def fsaverage5(side):
    mesh = load_fsaverage('fsaverage5')['sphere'].parts[dict(L='left', R='right')[side]]
    return mesh.coordinates, mesh.faces


@pytest.fixture(scope='module')
def spheres(tmp_path_factory):
    "A registration that is known: the sphere of fsLR turned by a quarter of a radian."
    folder = tmp_path_factory.mktemp('spheres')
    for side in 'LR':
        vertices, faces = load_surface('sphere', side)
        write_surface(folder/HCP.format(side=side), vertices @ turned(.25).T, faces)
    return folder


@pytest.mark.parametrize('side', 'LR')
def test_a_map_lands_where_the_registration_says(spheres, side):
    place = load_surface('sphere', side)[0]
    points = fsaverage5(side)[0]
    points = points/np.linalg.norm(points, axis=1, keepdims=True)
    for axis, wanted in enumerate((points @ turned(.25)).T):
        assert np.abs(to_fsaverage5(place[:, axis]/100, side, spheres) - wanted).max() < 1e-3
    unmoved = points[:, 0]
    assert np.abs(to_fsaverage5(place[:, 0]/100, side, spheres) - unmoved).max() > .1, 'a sphere that is not turned would pass'


def test_what_has_no_data_stays_without(spheres):
    values = np.full(32492, np.nan)
    corners, weights = fsaverage5_corners('L', spheres)
    values[corners[0]] = 3, 5, 9
    out = to_fsaverage5(values, 'L', spheres)
    assert out[0] == pytest.approx(weights[0] @ [3, 5, 9], rel=1e-5) and np.isnan(out).mean() > .99
    values[corners[0][weights[0].argmin()]] = np.nan
    assert np.isfinite(weighted_corners(values, corners, weights)[0])


def test_files_keep_names_and_side_and_come_by_subject(spheres, tmp_path):
    voxels = toy_voxels()
    maps = {'anchor agreement': np.ones(len(voxels)), 'motion haufe': np.arange(len(voxels))*1.}
    for side in 'LR': write_metric(tmp_path/f'maps.{side}.func.gii', maps, voxels, side)
    files = maps_to_fsaverage5(tmp_path, tmp_path/'new'/'folder', 'sub-1', spheres)
    assert [f.name for f in files] == [f'sub-1_space-fsaverage5_hemi-{side}.func.gii' for side in 'LR']
    for file, name in zip(files, ('CortexLeft', 'CortexRight')):
        img = nib.load(file)
        assert [a.meta['Name'] for a in img.darrays] == list(maps) and img.meta['AnatomicalStructurePrimary'] == name
        first = img.darrays[0].data
        assert first.shape == (10242,) and set(np.unique(first[np.isfinite(first)])) == {1} and .003 < np.isfinite(first).mean() < .2


def test_another_mesh_and_a_missing_or_wrong_sphere_are_said(spheres, tmp_path):
    with pytest.raises(SemvideoError, match='TemplateFlow tpl-fsLR'): fsaverage5_corners('L', tmp_path)
    write_surface(tmp_path/HCP.format(side='L'), *fsaverage5('L'))
    with pytest.raises(SemvideoError, match='10242 vertices'): fsaverage5_corners('L', tmp_path)
    (tmp_path/HCP.format(side='R')).write_text('no surface')
    with pytest.raises(SemvideoError, match='cannot be read'): fsaverage5_corners('R', tmp_path)
    small = nib.gifti.GiftiImage(darrays=[nib.gifti.GiftiDataArray(np.ones(10, np.float32))])
    nib.save(small, tmp_path/'small.func.gii')
    with pytest.raises(SemvideoError, match='another mesh'):
        metric_to_fsaverage5(tmp_path/'small.func.gii', tmp_path/'out.func.gii', 'L', spheres)
    assert not (tmp_path/'out.func.gii').exists()


def test_without_smriprep_its_name_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    fsaverage5_corners.cache_clear()
    with pytest.raises(SemvideoError, match=r'pip install "semvideo\[fsaverage\]"'): fsaverage5_corners('L')


@smriprep
@pytest.mark.parametrize('side', 'LR')
def test_the_first_vertices_of_fsaverage_are_those_of_nilearn_and_cortex_lies_on_cortex(side):
    from pathlib import Path
    data = Path(next(iter(importlib.util.find_spec('smriprep').submodule_search_locations)))/f'data/atlases/fs_{side}'
    whole = nib.load(data/f'fsaverage.{side}.sphere.164k_fs_{side}.surf.gii').darrays[0].data
    assert np.abs(whole[:10242] - fsaverage5(side)[0]).max() < .01 # of 100 mm
    pial = load_fsaverage('fsaverage5')['pial'].parts[dict(L='left', R='right')[side]].coordinates
    middle = load_surface('midthickness', side)[0]
    there = np.stack([to_fsaverage5(middle[:, k], side) for k in range(3)], 1)
    assert np.median(np.linalg.norm(there - pial, axis=1)) < 4 # mm, two templates; 22 to 31 unregistered


@pytest.mark.parametrize('side', 'LR')
def test_workbench_resamples_the_same(spheres, tmp_path, side):
    if shutil.which('wb_command') is None: pytest.skip("needs wb_command: Debian's connectome-workbench")
    points, faces = fsaverage5(side)
    new = write_surface(tmp_path/'new.surf.gii', points, faces)
    values = np.random.default_rng(0).normal(size=32492).astype(np.float32)
    nib.save(nib.gifti.GiftiImage(darrays=[nib.gifti.GiftiDataArray(values)]), tmp_path/'in.func.gii')
    files = [tmp_path/'in.func.gii', spheres/HCP.format(side=side), new, 'BARYCENTRIC', tmp_path/'out.func.gii']
    subprocess.run(['wb_command', '-metric-resample', *map(str, files)], check=True, capture_output=True)
    theirs = nib.load(tmp_path/'out.func.gii').darrays[0].data
    assert np.abs(theirs - to_fsaverage5(values, side, spheres)).max() < 1e-3
    moved = sphere_corners(points @ turned(.01).T, load_surface('sphere', side)[0] @ turned(.25).T, faces=load_surface('sphere', side)[1])
    assert np.abs(theirs - weighted_corners(values, *moved)).max() > .1
