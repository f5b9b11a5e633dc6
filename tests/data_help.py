"""What the tests of the data rooms share (their trees are made by `tree.py`, once a session, in conftest.py)."""
import tree as T
from semvideo.core import file_sha256


KW = dict(n_frames=2, size=16, workers=2)


def path(root, name, r, s=1):
    return T.run_path(root/'Subject01/video_fmri_dataset', s, name, r)


def sums(study):
    return {
        p.relative_to(study.path).as_posix(): file_sha256(p)
        for p in sorted(study.path.rglob('*'))
        if p.is_file()
    }


def row(d, part): return d[d.check.str.startswith(part)].iloc[0]
