"""190_simulate_bids: a rehearsal follows from its seed, is what fMRIPrep writes, and takes no folder that holds something."""
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from semvideo.core import SemvideoError, file_sha256
from semvideo.simulate_bids import AFTER, BEFORE, make_bids

SHORT = dict(clips=(6,), test_clips=5, train_repeats=1, test_repeats=2)


def sums(tree): return {p.relative_to(tree).as_posix(): file_sha256(p) for p in sorted(tree.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory): return make_bids(tmp_path_factory.mktemp("bids")/"a", seed=4, **SHORT)


def test_it_follows_from_its_seed(rehearsal, tmp_path):
    same, other = (sums(make_bids(tmp_path/str(seed), seed=seed, **SHORT)) for seed in (4, 5))
    own = sums(rehearsal)
    assert same == own
    assert own.keys() == other.keys() and sum(own[k] != other[k] for k in own) > len(own)/2


def test_it_is_what_fmriprep_writes(rehearsal):
    runs = sorted((rehearsal/"derivatives/fmriprep").rglob("*_bold.dtseries.nii"))
    assert len(runs) == 3
    for run in runs:
        stem = run.name.split("_space-")[0]
        volumes = nib.load(run).shape[0]
        clips = 5 if "task-test" in stem else 6
        confounds = pd.read_csv(run.with_name(f"{stem}_desc-confounds_timeseries.tsv"), sep="\t")
        events = pd.read_csv(next(rehearsal.rglob(f"{stem}_events.tsv")), sep="\t")
        about = json.loads(run.with_name(f"{stem}_space-fsLR_den-91k_bold.json").read_text())
        assert volumes == len(confounds) == BEFORE + clips + AFTER and about["RepetitionTime"] == 2
        assert events.onset.tolist() == [6.] and events.duration.tolist() == [2.*clips]
        assert (rehearsal/"stimuli"/events.stim_file[0]).is_file()


def test_the_head_is_in_the_runs(rehearsal):
    "Its six axes explain more of the series than six columns of noise do."
    run = sorted((rehearsal/"derivatives/fmriprep").rglob("*_bold.dtseries.nii"))[0]
    stem = run.name.split("_space-")[0]
    x = np.asarray(nib.load(run).dataobj, np.float64)
    x = x - x.mean(0)
    head = pd.read_csv(run.with_name(f"{stem}_desc-confounds_timeseries.tsv"), sep="\t").filter(regex="^(trans|rot)_[xyz]$").to_numpy()
    noise = np.random.default_rng(0).standard_normal(head.shape)
    def explained(z):
        z = z - z.mean(0)
        fit = z @ np.linalg.lstsq(z, x, rcond=None)[0]
        return (fit**2).sum()/(x**2).sum()
    assert explained(head) > explained(noise) + .1


def test_a_folder_that_holds_something_is_refused(rehearsal):
    with pytest.raises(SemvideoError, match="not empty"): make_bids(rehearsal, **SHORT)
