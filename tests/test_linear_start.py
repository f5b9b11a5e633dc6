"336_linear_start: ridge regression against scikit-learn, and folds that are held out."
import numpy as np, torch
from semvideo.sad import dual_path, ridge_scores

def test_ridge_against_scikit_learn():
    from sklearn.linear_model import Ridge
    x,y,new = torch.randn(60, 90), torch.randn(60, 7), torch.randn(9, 90)
    p = dual_path(x, y, new)[0](37.).numpy()
    np.testing.assert_allclose(p,
                               Ridge(alpha=37.).fit(x.numpy(), y.numpy()).predict(new.numpy()),
                               atol=2e-4)

def test_left_out_predictions_never_saw_their_fold():
    x,z = torch.randn(40, 15), torch.randn(40, 3)
    folds = torch.arange(40)//10
    z2 = z.clone()
    z2[folds == 2] += 100
    a,b = (ridge_scores(x, v, folds, alphas=[10.])[2] for v in (z, z2))
    torch.testing.assert_close(a[folds == 2], b[folds == 2], atol=1e-4, rtol=1e-4)
    assert (a-b)[folds == 1].abs().max() > 1
