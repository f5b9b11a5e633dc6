"What the tests of SAD and its rooms share: a small SAD."
import torch
from semvideo import sad
from semvideo.sad import SAD

SMALL = dict(tokens=5, width=8, hidden=12, mlp=(16, 16, 16), layers=1, heads=2, dim_head=4, steps=4,
             samples=2, refine_rows=0)

def make(config=sad.SAD_MINIATURE, **kw):
    torch.manual_seed(0)
    return SAD({1: 20, 'two': 30}, config, **{**SMALL, **kw})
