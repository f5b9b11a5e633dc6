"""Flips, kills, a full disk and two commands at once, on a small study: `harness.py`, a few times."""
import pytest
import harness
from semvideo.core import write_json

@pytest.mark.slow
def test_the_harness(miniature, tmp_path):
    """Flips, kills, a full disk and two commands at once, on the first seconds of a miniature, each a few times
    (`python tests/harness.py OUT` does it whole)."""
    tree, study = harness.shorten(miniature, tmp_path/"tree"), tmp_path/"study"
    harness.complete(study, tree, ("mine", "targets"))
    assert harness.flips(study, 30)["missed"] == []
    k = harness.kills(study, tree, "targets", 2)
    assert k["rc"] == 0 and k["differ"] == [] and k["left"] == [], k
    d = harness.disk(study, tree, "targets", 8)
    assert d["clear"] and d["rc_again"] == 0 and d["differ"] == [], d
    p = harness.pairs(study, tree, "targets", "targets")
    assert p["bad"] == [] and p["differ"] == [], p

@pytest.mark.long
def test_the_harness_sees_what_is_broken(tmp_path):
    """Without locks and without a second look at the end, two renderings at once mix their seeds and say that all is done:
    that is not believed. As it is, nothing is found."""
    _, tree = harness.make(tmp_path, ("mine",), 2)
    tree = harness.shorten(tree, tmp_path/"short")
    study = tmp_path/"short-study"
    harness.complete(study, tree, ("mine", "targets", "train", "decode", "render"))
    wanted = harness.Wanted(study, tree)
    p = harness.pairs(study, tree, "render", "render", 4, (0, 1), wanted=wanted, plant="nothing_holds")
    assert any("render/sub-1/test" in b for b in p["bad"]), p
    p = harness.pairs(study, tree, "render", "render", 2, (0, 1), wanted=wanted)
    assert p["bad"] == [] and p["differ"] == [], p
    want = harness.state(study)
    recipe = tmp_path/"recipe.json"
    write_json(recipe, dict(sad_pretrain=dict(epochs=-1)))
    on = ("--study", str(study), "--force")
    for words, says in ((("train", "--recipe", str(recipe)), "epochs = -1"), (("decode", "--parts", "mad"), "told motion"), (("decode", "--parts", "sad-anchor", "sad-motion", "sad-holistic"), "latents")):
        status, _, err = harness.run(words[0], *on, *words[1:])
        assert status == 2 and says in err and "Traceback" not in err, err
    assert harness.differing(want, harness.state(study)) == []
