"""740_verbs, 745_running, 770_demo, 790_cli, 795_main: bad paths and words, help, the README's commands, a bug keeps its traceback."""
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from semvideo.cli import STAGES, VERBS, main, parser
from semvideo.core import Study
from semvideo.stage_cost import MEASURED, MLLM, ON_CORE, StudySize, costs_markdown, stage_costs
from verbs_help import cli as cli, refuses

root = Path(__file__).resolve().parents[1]


def test_bad_paths_and_words(tmp_path, cli):
    refuses(cli, "report", "--study", tmp_path/"none", says="none")
    refuses(cli, "prepare", "--root", tmp_path/"none", "--study", tmp_path/"s", says="none")
    with pytest.raises(SystemExit) as e: main(["no-such-verb"])
    assert e.value.code == 2


def test_demo_does_not_write_into_a_folder_of_something_else(tmp_path, cli):
    (tmp_path/"thesis.txt").write_text("x")
    refuses(cli, "demo", "--out", tmp_path, says="not empty")
    refuses(cli, "demo", "--out", tmp_path, "--force", says="not empty")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_bug_keeps_its_traceback(monkeypatch, tmp_path):
    monkeypatch.setitem(VERBS, "doctor", ((lambda a: 1/0), ()))
    monkeypatch.setattr(VERBS["doctor"][0], "__doc__", "breaks", raising=False)
    with pytest.raises(ZeroDivisionError): main(["doctor"])


def test_help_of_every_verb(capsys):
    for v in VERBS:
        with pytest.raises(SystemExit) as e: parser().parse_args([v, "--help"])
        assert e.value.code == 0 and len(capsys.readouterr().out) > 60


def test_the_readme_gives_commands_that_exist():
    """Every `semvideo` line of the README is parsed, and a caption backend gets what it cannot do
    without."""
    import re, shlex
    from semvideo.cli import BACKEND_NEEDS
    lines = [
        l.split('#')[0].split('&&')[-1].strip()
        for b in re.findall(r'```sh\n(.*?)```', (Path(__file__).resolve().parents[1]/
                                                 'README.md').read_text(), re.S)
        for l in b.splitlines()
    ]
    lines = [l for l in lines if l.startswith('semvideo ')]
    assert {l.split()[1] for l in lines} >= {'demo', *STAGES}
    for l in lines:
        a = parser().parse_args(shlex.split(l)[1:])
        if a.verb == 'mine':
            assert all(getattr(a, o) is not None for o in BACKEND_NEEDS[a.backend]), l


def test_a_study_keeps_its_bundle_and_its_judges(tmp_path):
    """Without --bundle, targets of another bundle are not rendered with the tiny one, nor judged by the
    tiny judges."""
    from semvideo.cli import study_bundle
    s = Study.create(
        tmp_path/'s', 's', 'x',
        pd.DataFrame(
            dict(clip_id=['a'], split=['train'], segment=['x'], onset_s=[0.], duration_s=[2.],
                 source=['x'])), {})
    assert study_bundle(s) == 'tiny'
    s.stage('prepare', {}).finish()
    s.stage('targets', dict(bundle='sd15'), needs=('prepare',)).finish()
    assert study_bundle(s) == 'sd15'


def said(*words, **kw):
    "A command in a process of its own."
    return subprocess.run([sys.executable, "-m", "semvideo", *map(str, words)], capture_output=True, text=True, timeout=120, **kw)


def test_as_a_module_and_without_a_word():
    r = said()
    assert r.returncode == 0 and "demo" in r.stdout and r.stderr == ""
    assert said("--version").stdout.startswith("semvideo ")


@pytest.mark.parametrize("words, verb, near", [
    (["redner"], None, "render"), (["render", "--study", "x", "--frames", "3"], "render", None),
    (["render", "--studdy", "x"], "render", "--study"), (["render", "--study", "x", "--mode", "fastt"], "render", "fast"),
    (["status", "--study", "x", "--jsn"], "status", "--json"), (["status", "--study", "x", "zzz"], "status", None)])
def test_a_wrong_word_is_answered_by_its_verb_with_the_right_one(words, verb, near, capsys):
    with pytest.raises(SystemExit) as e: main(words)
    err = capsys.readouterr().err
    assert e.value.code == 2 and err.startswith(f"usage: semvideo {verb or '[-h]'}")
    assert ("did you mean" in err) == (near is not None)
    if near: assert err.strip().endswith(f"did you mean {near}?")


def test_an_unknown_option_is_told_once(capsys):
    with pytest.raises(SystemExit): main(["targets", "--study", "x", "--zzz"])
    assert capsys.readouterr().err.endswith("error: no option --zzz\n")


def test_what_each_stage_costs(cli):
    "The table of README is the doctor's, in words and as JSON, and rests on figures that were measured."
    rc, out, _ = cli("doctor", "--costs")
    rows = json.loads(cli("doctor", "--costs", "--json")[1])
    assert rc == 0 and [r["stage"] for r in rows] == list(STAGES)
    assert out.count("\n| `") == len(rows) and out.splitlines()[0].startswith("| stage |")
    kept, results = json.loads((root/"tests/results/gpu_h200.json").read_text())["parts"], root/"tests/results"
    prepared = json.loads((results/"bench_data.json").read_text())["read_before"]["seconds"]
    mined = json.loads((results/"bench_semminer.json").read_text())["counts"]
    render = kept["render"]["256 px, faithful"]
    assert MEASURED == dict(
        sad_ms=kept["sad"]["bf16"]["ms"], sad_gib=kept["sad"]["bf16"]["memory_gib"], mad_ms=kept["mad"]["bf16"]["ms"],
        mad_gib=kept["mad"]["bf16"]["memory_gib"], clips_per_minute=render["clips_per_minute"], render_gib=render["memory_gib"],
        render_tflop=render["tflop_a_clip"], copy_tb_per_s=kept["machine"]["copy_tb_per_s"], read_runs_s=prepared)
    assert MLLM == dict(parameters=mined["parameters"], tokens=sum(mined["answer_tokens"].values()))
    cores = json.loads((results/"bench_costs.json").read_text())["parts"]
    assert ON_CORE == {part: (c["seconds"], c["tflop"]) for part, c in cores.items()}
    assert {r["stage"] for r in rows if r["core_hours"] is not None} == {"targets", "decode", "evaluate", "explain"}
    assert all("estimate" in r["hours_are"] for r in rows if r["core_hours"] is not None), "an estimate is called one"
    assert costs_markdown(short=True) in (root/"README.md").read_text(), "python tools/readme.py, after the table of index.ipynb"
    train = next(r for r in rows if r["stage"] == "train")
    alone = stage_costs(StudySize(subjects=(1,))).set_index("stage")
    assert abs(alone.hours["train"]*3 - train["hours"]) < .05 and alone.disk_gb["render"]*3 == pytest.approx(8.5, abs=.2)


def test_a_closed_pipe_ends_quietly():
    for words in ("--help", "doctor", "leaderboard", ""):
        p = subprocess.Popen(f"{sys.executable} -m semvideo {words} | true", shell=True, stderr=subprocess.PIPE, text=True)
        assert p.communicate(timeout=120)[1] == "", words


def test_tables_as_json(cli):
    for words in (["doctor"], ["leaderboard"], ["leaderboard", "--table", "hcp"]):
        rc, out, _ = cli(*words, "--json")
        rows = json.loads(out)
        assert rows and all(isinstance(r, dict) for r in rows)
    for name in ("train", "evaluate", "score", "status", "ablate", "compare", "captions"): assert "--json" in [f for flags, _ in VERBS[name][1] for f in flags]


def test_a_log_keeps_what_was_said_and_where_it_broke(cli, tmp_path):
    log = tmp_path/"logs/run.txt"
    assert cli("leaderboard", "--log", log)[0] == 0
    assert cli("train", "--study", tmp_path/"none", "--log", log)[0] == 2
    text = log.read_text()
    assert "semvideo leaderboard --log" in text and "Mind-Animator" in text and text.count("ended after") == 2
    assert "Traceback" in text and "SemvideoError" in text
    r = said("train", "--study", tmp_path/"none", "--verbose")
    assert r.returncode == 2 and "Traceback" in r.stderr


def test_completion_knows_verbs_and_options(cli, tmp_path):
    for shell in ("bash", "zsh", "tcsh"):
        rc, out, _ = cli("completion", shell)
        assert rc == 0 and all(v in out for v in VERBS) and "ceilings" in out
    (tmp_path/"c").write_text(cli("completion", "bash")[1])
    r = subprocess.run(["bash", "-n", tmp_path/"c"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_mine_on_a_finished_study_is_done(tmp_path, cli):
    row = dict(clip_id=['a'], split=['train'], segment=['x'], onset_s=[0.], duration_s=[2.], source=['x'])
    s = Study.create(tmp_path/'s', 's', 'x', pd.DataFrame(row), {})
    s.stage('prepare', {}).finish()
    refuses(cli, "mine", "--study", s.path, says="--captions")
    s.stage('mine', dict(backend='script'), needs=('prepare',)).finish()
    rc, out, _ = cli("mine", "--study", s.path)
    assert rc == 0 and "captions are there, by the backend script" in out
    refuses(cli, "mine", "--study", s.path, "--force", says="--captions")


def test_time_left_follows_stages_that_worked():
    from semvideo.demo import Clockwork
    now = [0.]
    c = Clockwork(dict(a=('', 30), b=('', 30), c=('', 60)), clock=lambda: now[0])
    for stage, seconds, worked in (('a', 0, False), ('b', 300, True)):
        c.begin(stage)
        now[0] += seconds
        c.end(stage, worked)
    assert c.left() == 600, 'ten times as slow as planned, and what was found made says nothing'
