"What the tests of MAD and its rooms share: a small MAD."
import torch
from semvideo import mad
from semvideo.mad import MAD

SMALL = dict(text_tokens=5, text_dim=8, hidden=12, mlp=(16, 16, 16), embed=8, features=8,
             channels=(8, 8, 16), groups=4, head_dim=8)

def make(frames=3, **kw):
    torch.manual_seed(0)
    return MAD({
        1: 20,
        2: 30
    }, frames, mad.MAD_MINIATURE, **{
        **SMALL, 'linear_path': False,
        'motion_filter': 0,
        **kw
    })
