"""170_film, 189_simulate: the miniature from a plain script: several processes, no `if __name__ ==
'__main__'`, the same bytes as in one."""
import os, subprocess, sys
import pandas as pd, pytest
from semvideo import simulate
from semvideo.core import SemvideoError, file_sha256

def sums(tree):
    return {
        p.relative_to(tree).as_posix(): file_sha256(p)
        for p in sorted(tree.rglob('*'))
        if p.is_file()
    }

def test_a_plain_script_needs_no_guard(miniature, tmp_path):
    "By processes, as the fixture made it in one."
    script, kw = tmp_path/'plain.py', dict(n_subjects=2, seed=3, n_train=1, test_repeats=2)
    script.write_text(
        f"import semvideo.simulate as s\nprint('read once', flush=True)\ns.make_miniature({str(tmp_path/'a')!r}, "
        f"**{kw!r})\nprint('made', flush=True)\n")
    r = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300,
                       env=dict(os.environ, SEMVIDEO_QUIET='1'))
    assert r.returncode == 0 and r.stdout.split('\n') == ['read once', 'made', ''
                                                          ] and r.stderr == '', (r.returncode,
                                                                                 r.stdout,
                                                                                 r.stderr[-800:])
    assert sums(miniature) == sums(tmp_path/'a')

def test_the_nonlinear_tree_is_whole_and_refuses_the_other_brain(miniature, tmp_path):
    kw = dict(n_subjects=1, n_train=1, train_repeats=2, test_repeats=1, workers=1, share=.05, seed=3)
    for name in 'ab': # its films are those of any brain
        (tmp_path/name/'stimuli').mkdir(parents=True)
        for film in (miniature/'stimuli').glob('*.mp4'): os.link(film, tmp_path/name/'stimuli'/film.name)
    tree = simulate.make_miniature(tmp_path/'a', brain='nonlinear', **kw)
    before = sums(tree)
    assert sums(simulate.make_miniature(tmp_path/'b', brain='nonlinear', **kw)) == before
    with pytest.raises(SemvideoError, match='Another miniature'): simulate.make_miniature(tree, **kw)
    with pytest.raises(SemvideoError, match='Unknown brain'): simulate.make_miniature(tmp_path/'c', brain='square')
    truth = pd.read_csv(tree/'truth/subject1_vertices.csv', keep_default_na=False)
    assert abs((truth.role != 'none').sum()/(13447*.05) - 1) < .1

def test_the_command_line_offers_the_brains_there_are():
    from semvideo.cli import parser
    args = parser().parse_args(['demo', '--out', 'x', '--brain', 'nonlinear'])
    assert args.brain == 'nonlinear' and parser().parse_args(['demo', '--out', 'x']).brain == 'linear'
    for brain in simulate.BRAINS: parser().parse_args(['demo', '--out', 'x', '--brain', brain])
    with pytest.raises(SystemExit): parser().parse_args(['demo', '--out', 'x', '--brain', 'square'])
