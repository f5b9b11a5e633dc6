"""What the tests of the caption rooms share: texts of any length, a study that was mined."""
import json

import numpy as np
import pytest
from semvideo.core import SemvideoError
from semvideo.semminer import ScriptBackend, mine_study
from semminer_help import small_study


words = 'a the red car bird moves to left right slowly on grey road and then stops near house with big tall trees while it turns'.split(
)


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    return [' '.join(rng.choice(words, rng.integers(3, 25))) for _ in range(n)]


def fails(f, *parts):
    with pytest.raises(SemvideoError) as e: f()
    assert all(p in str(e.value) for p in parts), str(e.value)


@pytest.fixture
def mined(tmp_path):
    study = small_study(tmp_path/'s')
    t = dict(zip(study.clips.clip_id, texts(12)))
    (tmp_path/'x.jsonl').write_text('\n'.join(
        json.dumps(
            dict(clip_id=c, basic='a car', anchor=f'a {c} "quoted", näive — 汉\u2028',
                 motion=f'the car moves {c}', holistic=v)) for c, v in t.items()))
    mine_study(study, ScriptBackend(tmp_path/'x.jsonl'))
    return study
