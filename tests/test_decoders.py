"348_decoders: recipes that can be meant, and the paper's."
import pytest
from semvideo import train
from study_help import refuses
from train_help import study as study

NAN = float("nan")

@pytest.mark.parametrize("recipe,says", [([], "list"), ("3", "str"), (dict(sad=3), "sad = 3"), (dict(sad_pretrain=dict(epochs=-1)), "epochs = -1"), (dict(sad_pretrain=dict(epochs="3")), "epochs = '3'"), (dict(mad_tune=dict(lr=NAN)), "lr = nan"), (dict(mad_tune=dict(lr=0)), "lr = 0"), (dict(sad_tune=dict(epoch=3)), "epoch"), (dict(mad=dict(channels=[])), "channels"), (dict(mad=dict(hidden=True)), "hidden"), (dict(sad_tune=dict(precision="fp8")), "auto or fp32"), (dict(sad_tune=dict(repeats="mean")), "separate")])
def test_recipes_that_cannot_be_meant(recipe, says):
    from semvideo.decoders import as_recipe
    refuses(lambda: as_recipe(recipe), says)

def test_recipes_that_are_known_can_be_meant():
    from semvideo.decoders import RECIPES, as_recipe
    for r in RECIPES.values(): assert as_recipe(r.to_dict()).to_dict() == r.to_dict()

def test_the_papers_recipe_holds_no_choice_of_ours(study):
    for name in ('paper-literal', 'paper-literal-small'):
        r = train.RECIPES[name]
        assert r.sad['standardise'] == 'none' and not r.sad['linear_path'] and r.sad['skip'] == 0
        assert tuple(r.sad['tau']) == (.004, .0075) and r.sad['lambda_softclip'] == .5 and r.sad['samples'] == 1
        assert r.mad['text_mix'] == 0 and not r.mad['linear_path'] and r.mad['standardise'] == 'none'
        for k in ('sad_pretrain', 'sad_tune', 'mad_pretrain', 'mad_tune'):
            c = getattr(r, k)
            assert c['projector'] == 'train' and not c['validate'] and not c['balance'] and not c['noise']
            assert (c['schedule'], c['batch']) == (('cosine', 96) if k[0] == 's' else ('onecycle', 20))
