"582_questions: answers are told apart by what was asked."
import numpy as np
from semvideo.evaluate import marginals, same

def test_marginals_sum_to_one_and_ignore_class_order():
    names = [f"{c} {k}" for k in ("car", "upper left") for c in ("red", "blue", "green")]
    z = np.random.default_rng(5).normal(size=(7, 6))
    o = np.random.default_rng(6).permutation(6)
    a, b = marginals(z, names), marginals(z[:, o], [names[i] for i in o])
    for (p, w), (q, v) in zip(a, b):
        assert np.allclose(p.sum(1), 1) and np.allclose(p, q[:, [v.index(x) for x in w]])

def test_same_does_not_reward_an_answer_that_was_not_asked():
    truth, recon = np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 0, 2]]
    out = same(recon, truth, asked=[1, 2])
    assert np.isnan(out[0]) and out[2] == 1
