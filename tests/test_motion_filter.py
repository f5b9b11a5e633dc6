"342_motion_filter: ridge regression on products, which follows the words and not the place."
import torch
from semvideo import mad

def moving_blobs(n=200, frames=3):
    """Blobs that move in one of eight directions, their still picture and a one-hot direction as text."""
    g = torch.Generator().manual_seed(1)
    way = torch.randint(8, (n,), generator=g)
    at = torch.randint(2, 6, (n, 2), generator=g)
    yy,xx = torch.meshgrid(torch.arange(8.), torch.arange(8.), indexing='ij')
    a = way*torch.pi/4
    d = lambda v: v[:, None, None]
    film = torch.stack([
        torch.exp(-((xx - d(at[:, 0]) - s*d(a.cos()))**2 + (yy - d(at[:, 1]) - s*d(a.sin()))**2)/2)
        for s in (torch.arange(frames) - (frames - 1)/2).tolist()
    ], 1)[:, :, None]
    text = torch.eye(8)[way].unflatten(1, (1, 8))
    return film, film.mean(1), text-text.mean(0)

def test_filters_are_ridge_regression_on_products():
    """The closed form over sums of squares agrees with scikit-learn on the products written out, and the
    penalty with a search over left-out segments."""
    from sklearn.linear_model import Ridge
    film,still,text = moving_blobs()
    y = film-still[:, None]+.05*torch.randn(film.shape, generator=torch.Generator().manual_seed(2))
    folds = torch.arange(200)//50
    alphas = 10.**torch.arange(-1, 5)
    f = mad.MotionFilter(5, 3, 3, 1, 8)
    best = f.fit(still, text, y, folds, alphas)
    x = torch.einsum('nk,npi->npki', f.gates(text), f.patches(still)).flatten(2)
    t = y.flatten(3).permute(0, 3, 1, 2).flatten(2)
    def ridge(rows, a):
        return Ridge(a, fit_intercept=False).fit(x[rows].flatten(0, 1).double().numpy(),
                                                 t[rows].flatten(0, 1).double().numpy())
    error = {
        a: sum(((ridge(folds != k, a).predict(x[folds == k].flatten(0, 1).double().numpy()) -
                 t[folds == k].flatten(0, 1).numpy())**2).sum()
               for k in range(4))
        for a in alphas.tolist()
    }
    assert best == min(error, key=error.get)
    torch.testing.assert_close(f.weight.double(), torch.tensor(ridge(slice(None), best).coef_.T),
                               atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(
        f(still, text).flatten(3).permute(0, 3, 1, 2).flatten(2), x @ f.weight, atol=1e-5,
        rtol=1e-5)

def test_filters_follow_the_words_and_not_the_place():
    film,still,text = moving_blobs()
    f = mad.MotionFilter(7, 3, 3, 1, 8)
    f.fit(still, text, film-still[:, None], torch.arange(200)//50)
    move = lambda t: (f(still[:40], t[:40])[:, -1]-f(still[:40], t[:40])[:, 0]).flatten(1)
    true = (film[:40, -1]-film[:40, 0]).flatten(1)
    agree = lambda p: torch.nn.functional.cosine_similarity(p, true).mean().item()
    assert agree(move(text)) > .9 > .3 > abs(agree(move(text.roll(1, 0))))
    # a moved picture moves the change
    torch.testing.assert_close(
        f(still.roll(1, 3), text)[..., 3:-2],
        f(still, text).roll(1, 4)[..., 3:-2], atol=1e-4, rtol=1e-4)
