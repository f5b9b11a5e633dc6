"""740_verbs, 745_running, 770_demo, 790_cli: bad paths and words, help, the README's commands, a bug keeps its traceback."""
from pathlib import Path

import pandas as pd
import pytest
from semvideo.cli import STAGES, VERBS, main, parser
from semvideo.core import Study
from verbs_help import cli as cli, refuses


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
