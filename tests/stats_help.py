"""What the tests of the statistics share: discs that move, autocorrelated scores, a ladder of a
good system."""
import numpy as np, pytest
from semvideo import stats as S

def rng(*s): return np.random.default_rng(s)

def discs(n, f=6, size=24, seed=0, move=True):
    """Discs that move over textures in four directions, and a system that got the motion and most
    colours."""
    r = rng(seed)
    yy,xx = np.mgrid[:size, :size]
    hues = [(220, 50, 40), (50, 90, 220), (60, 200, 70), (230, 210, 50)]
    t = []
    for i in range(n):
        h,(dx,dy) = hues[r.integers(4)],[(2, 0), (-2, 0), (0, 2), (0, -2)][r.integers(4)]
        bg = r.integers(40, 160, (3, 3, 3), dtype=np.uint8).repeat(size//3, 0).repeat(size//3, 1)
        c = np.repeat(bg[None], f, 0)
        for k in range(f):
            c[k][(yy-size/2-dy*(k-f/2)*move)**2+(xx-size/2-dx*(k-f/2)*move)**2 < 30] = h
        t.append(c)
    return np.stack(t)

def noisy(x, sd=25, seed=1):
    return np.clip(x+rng(seed).normal(0, sd, x.shape), 0, 255).astype(np.uint8)

def ar(rho, *shape, seed=0):
    "Films of autocorrelated scores of mean 0 and variance 1, the last axis is time."
    e = rng(seed, int(100*rho)).normal(size=shape)
    x = e.copy()
    for i in range(1, shape[-1]): x[..., i] = rho*x[..., i-1]+np.sqrt(1-rho*rho)*e[..., i]
    return x

@pytest.fixture(scope='module')
def scored():
    t = discs(24)
    r = noisy(t)
    tr = discs(30, seed=5)
    return t, r, tr, S.ladder(r, t, S.nulls(r, tr), {'truth': t}, models=None)
