"""What the tests of the verbs share: a command in this process, what it refuses, and the bytes of a study."""
import pytest
from semvideo.cli import main


def state(folder):
    "Bytes of what a study holds, but for its log."
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in (
            "log.jsonl", "report.html", "report-brain.html") and p.suffix != ".lock" and "trash" not in p.parts
    }


def refuses(cli, *words, says):
    rc, _, err = cli(*words)
    assert rc == 2 and says in err and 2 <= len(err.strip().splitlines()) <= 6, err


@pytest.fixture
def cli(capsys):
    "A command in this process -> exit status, output, errors."
    def run(*words):
        capsys.readouterr()
        rc = main([str(w) for w in words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return rc, said.out, said.err
    return run
