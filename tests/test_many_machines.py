"""The files of examples/slurm (tutorial `many_machines`) without a cluster: programs of the same names stand in for Slurm's,
and write down what they were called with. Also: every command that a tutorial or README shows is one."""
import json, os, re, shlex, subprocess
from pathlib import Path
import pytest
from semvideo.cli import VERBS, parser

root = Path(__file__).resolve().parents[1]
slurm = root/"examples/slurm"


@pytest.fixture
def stand_in(tmp_path):
    "Programs that write down what they were called with -> (environment, list of calls)."
    calls = tmp_path/"calls"
    for name in ("sbatch", "semvideo", "accelerate"):
        number = f'wc -l < "{calls}" | tr -d " "' if name == "sbatch" else ":"
        (tmp_path/name).write_text(f'#!/bin/bash\nprintf "%q " {name} "$@" >> "{calls}"\necho >> "{calls}"\n{number}\n')
        (tmp_path/name).chmod(0o755)
    calls.touch()
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")} | dict(PATH=f"{tmp_path}:{os.environ['PATH']}")
    return env, lambda: [shlex.split(line) for line in calls.read_text().splitlines()]


def bash(env, *words): return subprocess.run(["bash", *map(str, words)], env=env, capture_output=True, text=True, timeout=60)


def parsed(words):
    "The options of a command after the word `semvideo`; a wrong one ends the test."
    return parser().parse_args(words)


@pytest.mark.parametrize("file", ["semvideo.sbatch", "submit.sh"])
def test_bash_reads_it(file):
    assert bash(dict(os.environ), "-n", slurm/file).returncode == 0


def test_each_job_waits_for_the_one_before(stand_in):
    env, calls = stand_in
    said = bash(env, slurm/"submit.sh", "a study", "2", "4")
    assert said.returncode == 0 and said.stdout == "jobs 1 to 8\n", said.stderr
    jobs = calls()
    for i, words in enumerate(jobs):
        assert (f"--dependency=afterok:{i}" in words) == (i > 0)
        command = words[words.index(str(slurm/"semvideo.sbatch")) + 1:]
        a = parsed(command)
        assert a.study == Path("a study")
        arrays = [w for w in words if w.startswith("--array")]
        assert arrays == (["--array=1-4"] if command[0] in ("mine", "render") else [])
        assert not arrays or hasattr(a, "shard")
    assert [w[w.index(str(slurm/"semvideo.sbatch")) + 1] for w in jobs] == [
        "mine", "targets", "train", "decode", "render", "evaluate", "explain", "report"]


def test_a_task_of_an_array_does_its_share(stand_in):
    env, calls = stand_in
    array = dict(env, SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_TASK_COUNT="8")
    assert bash(array, slurm/"semvideo.sbatch", "render", "--study", "a study").returncode == 0
    assert bash(env, slurm/"semvideo.sbatch", "render", "--study", "a study").returncode == 0
    assert calls() == [["semvideo", "render", "--study", "a study", "--shard", "3/8"], ["semvideo", "render", "--study", "a study"]]
    assert parsed(calls()[0][1:]).shard == "3/8"


def test_training_is_launched_on_all_gpus_of_the_job(stand_in):
    env, calls = stand_in
    assert bash(dict(env, SLURM_GPUS_ON_NODE="4"), slurm/"semvideo.sbatch", "train", "--study", "s").returncode == 0
    assert bash(dict(env, SLURM_GPUS_ON_NODE="1"), slurm/"semvideo.sbatch", "train", "--study", "s").returncode == 0
    assert calls() == [["accelerate", "launch", "--num_processes", "4", "-m", "semvideo", "train", "--study", "s"],
                       ["semvideo", "train", "--study", "s"]]


def test_a_stage_that_fails_fails_the_job(stand_in, tmp_path):
    env, _ = stand_in
    (tmp_path/"semvideo").write_text("#!/bin/bash\nexit 143\n")
    assert bash(env, slurm/"semvideo.sbatch", "render", "--study", "s").returncode == 143
    assert bash(env, slurm/"semvideo.sbatch").returncode != 0


# -- commands in prose

def shown_commands():
    "Commands in the shell blocks of README and of the tutorials: (file, words)."
    for p in [root/"README.md", *sorted((root/"nbs/tutorials").glob("*.ipynb"))]:
        texts = [p.read_text(encoding="utf-8")]
        if p.suffix == ".ipynb": texts = ["".join(c["source"]) for c in json.loads(texts[0])["cells"] if c["cell_type"] == "markdown"]
        for text in texts:
            for block in re.findall(r"```sh\n(.*?)```", text, re.S):
                for line in re.findall(r"(?:^|&& |-m )semvideo (.+)$", block, re.M):
                    words = shlex.split(line, comments=True)
                    if "..." not in words: yield p.name, words


def wrong_commands(commands):
    for file, words in commands:
        try: parser().parse_args(words)
        except SystemExit as e:
            if e.code: yield file, words


def test_commands_in_prose_are_commands():
    commands = list(shown_commands())
    assert len(commands) > 20 and {w[0] for _, w in commands} <= {*VERBS, "--help", "--version"}
    assert list(wrong_commands(commands)) == []


def test_a_wrong_command_in_prose_is_noticed(capsys):
    wrong = [("a", ["render", "--study", "s", "--shards", "1/8"]), ("b", ["rendr", "--study", "s"])]
    assert list(wrong_commands([*wrong, ("c", ["render", "--study", "s"])])) == wrong
