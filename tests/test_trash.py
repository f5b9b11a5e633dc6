"050_trash: what is moved away comes back, whole."
import harness
from semvideo.cli import main
from semvideo.core import read_json, write_json
from study_help import study as study, states, refuses

def test_an_undo_list_that_points_elsewhere(study, tmp_path):
    study.discard([study.path/"targets"], "test")
    p = study.path/"trash/0001/entry.json"
    write_json(p, dict(read_json(p), paths=["../../x"]))
    refuses(study.undo, "Not a path of the study")

def test_force_undo_clean(study, capsys):
    want = harness.state(study.path)
    study.stage("targets", dict(b=2), needs=("prepare",), force=True)
    assert not (study.path/"targets").exists() and states(study)["targets"] == "partial"
    assert main(["undo", "--study", str(study.path)]) == 0 and harness.state(study.path) == want
    from semvideo.core import host_id
    # of another machine, where it may still be written
    dead, there = study.path/f".x.npy.999999.{host_id()}1.part", study.path/".y.npy.999999.0a0a0a1.part"
    dead.write_text("left behind")
    there.write_text("being written")
    assert main(["clean", "--study", str(study.path), "--dry-run"
                 ]) == 0 and (study.path/"trash").exists()
    assert main(["clean", "--study", str(study.path)]) == 0 and not dead.exists() and there.exists()
    there.unlink()
    assert harness.state(study.path) == want

def test_two_who_discard_at_once_have_an_entry_each(study):
    import threading
    names = [f"file{i}" for i in range(8)]
    for n in names: (study.path/n).write_text(n)
    ready = threading.Barrier(8)
    def go(n):
        ready.wait()
        study.discard([study.path/n], n)
    threads = [threading.Thread(target=go, args=(n,)) for n in names]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sorted(t["why"] for t in study.trash()) == names
    for _ in names: study.undo()
    assert all((study.path/n).read_text() == n for n in names)
