"595_ablation: a row of the table is a study of its own that shares what it does not touch."
import pandas as pd
from semvideo.ablation import branch_study
from semvideo.core import Study, write_csv

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
