"595_ablation: a row of the table is a study of its own that shares what it does not touch."
import numpy as np, pandas as pd, pytest, torch
from semvideo import ablation
from semvideo.ablation import ABLATIONS, branch_study, check_rows, trained_recipe
from semvideo.checkpoint import load, save
from semvideo.core import SemvideoError, Study, write_csv
from semvideo.decoders import DECODER_PARTS, part_settings
from semvideo.sad import SAD

CLIPS = pd.DataFrame(dict(clip_id=["a", "b"], split="train", segment="s", onset_s=[0., 2.], duration_s=2., source="x.mp4"))


def test_a_row_shares_all_that_its_stages_wrote(tmp_path):
    "Also a table beside their folders, such as the audit's: else the row's own study would be called damaged."
    study = Study.create(tmp_path/"study", "s", "made here", CLIPS)
    write_csv(study.path/"leak_audit.csv", CLIPS)
    study.stage("prepare", {}).finish([study.path/f for f in ("manifest.json", "clips.csv", "leak_audit.csv")])
    write_csv(study.path/"targets/x.csv", CLIPS)
    study.stage("targets", {}, needs=("prepare",)).finish([study.path/"targets/x.csv"])
    own = branch_study(study, tmp_path/"row", ("prepare", "targets"))
    assert {k: v["state"] for k, v in own.check(verify=True).items()} == dict(prepare="done", targets="done")
    (tmp_path/"row/leak_audit.csv").unlink()
    assert own.check()["targets"]["state"] == "stale"


def toy(folder):
    "A toy study with records of trained decoders; these are as they were built, with random last layers, so that every part says something."
    from semvideo.toy import TOY_MAD, TOY_SAD, toy_study
    from semvideo.train import RECIPES, build, recipe
    r = RECIPES["miniature"].to_dict()
    r["sad"] |= TOY_SAD
    r["mad"] |= TOY_MAD
    study = toy_study(folder)
    r = recipe(study, r)
    for part in DECODER_PARTS:
        model, *how = part_settings(part, r)
        for who, train, n_voxels in (("pretrain", how[0], {1: 60, 2: 80}), ("sub-1", how[1], {1: 60})):
            module = build(study, part, r, n_voxels)
            torch.manual_seed(0)
            for layer in (module.mlp[-1], module.decoder.conv_out if part == "mad" else module.mlp[-1]):
                torch.nn.init.normal_(layer.weight, std=.1)
            stage = study.stage("train", dict(model=model, train=train, subjects=list(n_voxels)), part=f"{who}/{part}",
                                needs=("targets",) if who == "pretrain" else ("targets", f"train/pretrain/{part}"))
            save(module, study.path/f"train/{who}/{part}")
            stage.finish([study.path/f"train/{who}/{part}"/f for f in ("model.safetensors", "config.json")])
    return study


def network_of(mad, x, words):
    "What MAD's network adds to its linear path."
    with torch.no_grad():
        e = mad.mlp(mad.project(x, 1)).unflatten(1, (3, -1)) + mad.frame
        return mad.decoder(mad.norm(mad.embedder(e.flatten(0, 1))), mad.text(words), 3)


def test_a_part_is_switched_off_in_the_decoders_as_they_are_trained(tmp_path):
    "Nothing is trained again, the study itself is left alone, and what remains is what the row says."
    study, got = toy(tmp_path/"study"), {}
    r = trained_recipe(study, 1)
    weights = {p: p.read_bytes() for p in study.path.rglob("*.safetensors")}
    x, words = torch.as_tensor(np.nanmean(study.fmri(1, "test"), 1)), torch.randn(30, 7, 16)
    for name in ("without-mlp", "with-refineformer", "without-motion-embedder", "without-tripartite", "without-motion-network"):
        row = ABLATIONS[name]
        own = branch_study(study, tmp_path/name, ablation._shared_stages(r, row, 1))
        ablation._switch(study, own, 1, row)
        got[name] = load(own.path/"train/sub-1/sad-motion"), load(own.path/"train/sub-1/mad")
        assert {k: v["state"] for k, v in own.check().items() if k.startswith("train/pretrain")} == {f"train/pretrain/{p}": "done" for p in DECODER_PARTS}
    assert weights == {p: p.read_bytes() for p in weights}
    whole = load(study.path/"train/sub-1/sad-motion"), load(study.path/"train/sub-1/mad")
    with torch.no_grad():
        sad = got["without-mlp"][0]
        assert torch.equal(sad.tokens(sad.project(x, 1)).flatten(1), sad.linear(sad.project(x, 1)))
        assert not torch.allclose(sad(x, 1), whole[0](x, 1)) and torch.equal(got["without-mlp"][1](x, words, 1), whole[1](x, words, 1))
        assert got["with-refineformer"][0].config.samples == 1
    drawn = {n: network_of(m, x, words) for n, (_, m) in got.items()} | dict(whole=network_of(whole[1], x, words))
    of_others = {n: network_of(m, x.flip(0), words) for n, (_, m) in got.items()}
    of_words = {n: network_of(m, x, words.flip(0)) for n, (_, m) in got.items()}
    assert torch.equal(drawn["without-mlp"], drawn["whole"]) and not torch.equal(drawn["whole"], of_others["without-mlp"])
    assert not torch.equal(drawn["whole"], of_words["without-mlp"])
    assert drawn["without-motion-network"].abs().max() == 0
    assert torch.equal(drawn["without-motion-embedder"], of_others["without-motion-embedder"]), "it hears the brain still"
    assert not torch.equal(drawn["without-motion-embedder"], of_words["without-motion-embedder"])
    assert torch.equal(drawn["without-tripartite"], of_words["without-tripartite"]), "it hears the text still"
    assert not torch.equal(drawn["without-tripartite"], of_others["without-tripartite"])


def test_rows_are_compared_with_those_they_stand_beside():
    ids, blocks = [f"c{i}" for i in range(24)], np.arange(24)//4
    base = pd.DataFrame(dict(clip_id=ids, metric="kind", variant="judged", value=np.tile([.2, .9], 12)))
    rows = {"without-films": base, "without-tripartite": base.assign(value=base.value - .1)}
    t = next(ablation._beside(rows, blocks, 0, 0))
    assert t.row.tolist() == ["without-tripartite against without-films"] and t.difference.round(6).tolist() == [-.1]
    assert check_rows(["without-tripartite", "without-mlp"]) == ["without-tripartite", "without-mlp", "without-films"]


def test_networks_without_a_linear_path_cannot_be_switched_off():
    with pytest.raises(SemvideoError, match="nothing is left"):
        ABLATIONS["without-mlp"].switch["sad"](SAD({1: 9}, hidden=16, mlp=(16, 16, 16), width=8, tokens=4, layers=1, heads=1, dim_head=8))
