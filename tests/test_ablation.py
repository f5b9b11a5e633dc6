"595_ablation: a row of the table is a study of its own that shares what it does not touch."
import numpy as np, pandas as pd, pytest, torch
from semvideo import ablation
from semvideo.ablation import ABLATIONS, branch_study, check_rows, trained_recipe
from semvideo.checkpoint import load, save
from semvideo.core import SemvideoError, Study, write_csv
from semvideo.decoders import DECODER_PARTS
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
    "A toy study whose decoders are trained, one epoch."
    from semvideo.toy import TOY_MAD, TOY_SAD, toy_study
    from semvideo.train import RECIPES, train_study
    r = RECIPES["miniature"].to_dict()
    r["sad"] |= TOY_SAD
    r["mad"] |= TOY_MAD
    for k in r:
        if k.endswith(("pretrain", "tune")): r[k] |= dict(epochs=1, batch=32)
    study = toy_study(folder)
    train_study(study, 1, r)
    return study


def test_a_part_is_switched_off_in_the_decoders_as_they_are_trained(tmp_path):
    "Nothing is trained again, the study itself is left alone, and what remains is what the row says."
    study, got = toy(tmp_path/"study"), {}
    r = trained_recipe(study, 1)
    for part in ("sad-motion", "mad"): # as after a longer training: parts that begin at zero say something
        module = load(study.path/f"train/sub-1/{part}")
        torch.manual_seed(0)
        for layer in (module.mlp[-1], module.decoder.conv_out if part == "mad" else module.mlp[-1]): torch.nn.init.normal_(layer.weight, std=.1)
        save(module, study.path/f"train/sub-1/{part}")
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
        drawn = {n: m(x, words, 1) for n, (_, m) in got.items()} | dict(whole=whole[1](x, words, 1))
        network = {n: m.decoder(m.norm(m.embedder((m.mlp(m.project(x, 1)).unflatten(1, (3, -1)) + m.frame).flatten(0, 1))), m.text(words), 3).detach()
                   for n, (_, m) in got.items()}
    assert network["without-motion-network"].abs().max() == 0
    of_clips = network["without-motion-embedder"].unflatten(0, (30, 3))
    assert of_clips.std(0).max() < network["without-mlp"].unflatten(0, (30, 3)).std(0).max()/3, "only the text tells clips apart"
    assert not torch.allclose(drawn["without-tripartite"], drawn["whole"])
    m, other = got["without-tripartite"][1], words.flip(0)
    with torch.no_grad():
        e = m.norm(m.embedder((m.mlp(m.project(x, 1)).unflatten(1, (3, -1)) + m.frame).flatten(0, 1)))
        assert torch.equal(m.decoder(e, m.text(words), 3), m.decoder(e, m.text(other), 3)), "it hears the text still"


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
