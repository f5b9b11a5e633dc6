"""What the tests of the fMRI rooms share."""
import numpy as np


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype('f4')
