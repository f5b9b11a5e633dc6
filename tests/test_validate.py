"353_validate: how like the truth a state is."
import torch
from semvideo import train

def test_a_short_state_is_identified_and_does_not_pass():
    true = torch.randn(30, 8)
    short = train.likeness(.1*true, true, torch.zeros(1, 8))
    assert short['identification'] == 1 and short['r2'] < .2 and abs(short['norm']-.1) < 1e-5
