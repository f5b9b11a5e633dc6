"""Tests run offline, quietly, and with one thread each, so that two of them share two cores."""
import os
import shutil

import pytest
from semvideo.cli import keep_memory

for k, v in dict(HF_HUB_OFFLINE="1", SEMVIDEO_QUIET="1", OMP_NUM_THREADS="1", MPLBACKEND="agg", TOKENIZERS_PARALLELISM="false",
                 MALLOC_MMAP_THRESHOLD_=str(1 << 30), MALLOC_TRIM_THRESHOLD_=str(1 << 32)).items(): # the last two: large blocks stay with the process, as `keep_memory` does
    os.environ.setdefault(k, v)
keep_memory()

FIRST = ("test_demo.py", "test_notebooks.py", "test_stage_verbs.py", "test_models.py", "test_house.py", "test_campaign.py", "test_compare.py",
         "test_simulate.py", "test_harness.py", "test_by_number.py", "test_report.py") # the longest, half a minute and more each

def pytest_collection_modifyitems(items):
    """Longest files first, so that two processes end together (xdist would begin with the files of most tests: `--no-loadscope-reorder`). With `--dist loadfile` a file stays in one process, where its fixtures
    are made once and its tests follow each other (`loadgroup` would be finer, but pytest-xdist 3.8 does not group under pytest 9.2)."""
    items.sort(key=lambda i: FIRST.index(i.path.name) if i.path.name in FIRST else len(FIRST))


def once(tmp_path_factory, name, make):
    "A folder that several files read and none writes to: the first process that asks makes it, the others wait for it."
    from filelock import FileLock
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ: base = base.parent
    with FileLock(base/f"{name}.lock"):
        if not (base/f"{name}.made").exists():
            shutil.rmtree(base/name, ignore_errors=True)
            make(base/name)
            (base/f"{name}.made").touch()
    return base/name


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    "One training and one test segment, two subjects, two repeats each; to be read, not changed."
    from semvideo.simulate import make_miniature
    return once(tmp_path_factory, "miniature",
                lambda out: make_miniature(out, n_subjects=2, seed=3, workers=1, n_train=1, test_repeats=2))


@pytest.fixture(scope='session')
def cc(tmp_path_factory):
    "A small CC2017 of two subjects, with planted voxels."
    import tree as T
    return T.cc2017(tmp_path_factory.mktemp('cc'), subjects=(1, 3),
                    top='Subject01/video_fmri_dataset')


@pytest.fixture(scope='session')
def cc_study(cc, tmp_path_factory):
    "Its first subject, prepared."
    from data_help import KW
    from semvideo.datasets import prepare_cc2017
    return prepare_cc2017(cc, tmp_path_factory.mktemp('s')/'study', (1,), **KW)


@pytest.fixture
def cc_copy(cc, tmp_path):
    "A copy of the tree that a test may damage; films are linked."
    shutil.copytree(
        cc, tmp_path/'cc', copy_function=lambda a, b: os.link(a, b)
        if a.endswith('.mp4') else shutil.copy2(a, b))
    return tmp_path/'cc'


@pytest.fixture(scope='session')
def hcp(tmp_path_factory):
    "A small HCP 7T tree."
    import tree as T
    return T.hcp(tmp_path_factory.mktemp('hcp'))


@pytest.fixture(scope='session')
def own_films(tmp_path_factory):
    "Two films of 90 and 60 s; CIFTI with TR 1.5 s, and the same as NIfTI with a mask."
    import nibabel as nib
    import numpy as np
    import pandas as pd
    import tree as T
    from semvideo import fmri, video
    root = tmp_path_factory.mktemp('own')
    hem, ver = T.brain()
    rows = []
    mask = np.zeros((8, 8, 4), bool)
    mask.reshape(-1)[10:10 + len(ver)] = True
    aff = np.diag([2, 2, 2, 1.])
    aff[0, 3] = -1
    nib.save(nib.Nifti1Image(mask.astype('u1'), aff), root/'mask.nii.gz')
    for k,(name, sec, split) in enumerate([('a', 90, 'train'), ('b', 60, 'test')]):
        video.write_video(root/f'{name}.mp4', T.film(sec*4, k), 4)
        n = int((sec + 12)/1.5)
        sig = T.signal(n, len(ver), 40, k)
        for r in (1, 2):
            x = T.scan(sig, [k, r], snr=2)
            fmri.write_run(root/f'{name}_{r}.dtseries.nii', x, hem, ver, tr=1.5)
            vol = np.zeros((*mask.shape, n), 'f4')
            vol[mask] = x.T
            img = nib.Nifti1Image(vol, aff)
            img.header.set_zooms((2, 2, 2, 1.5))
            img.header.set_xyzt_units('mm', 'sec')
            nib.save(img, root/f'{name}_{r}.nii.gz')
            rows.append(
                dict(movie=f'{name}.mp4', run=f'{name}_{r}.dtseries.nii', onset_s=3, tr_s=1.5,
                     subject='amy', repeat=r, split=split))
    t = pd.DataFrame(rows)
    t.to_csv(root/'runs.csv', index=False)
    t.assign(run=t.run.str.replace('dtseries.nii', 'nii.gz')).to_csv(root/'nifti.csv', index=False)
    return root


@pytest.fixture(scope="session")
def numbered_film(tmp_path_factory):
    "Sixteen seconds whose frames show their numbers."
    import numpy as np
    from films_help import numbered
    from semvideo.video import write_video
    return write_video(tmp_path_factory.mktemp("numbered")/"film.mp4", np.stack([numbered(i) for i in range(480)]), 30)
