"330_decoder_parts: scaling that does not explode."
import torch
from semvideo.sad import Standardiser

def test_constant_entries_do_not_explode():
    s = Standardiser((3,)).fit(torch.tensor([[1., 2, 5], [3., 2, 9], [5, 2, 1]]))
    z = s(torch.tensor([[1., 2.01, 5]]))
    assert torch.isfinite(z).all() and z[0,1].abs() < 1
