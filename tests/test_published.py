"530_published: the papers' tables, and what may stand beside them."
import numpy as np, pandas as pd, pytest
from semvideo.core import SemvideoError, Study
from semvideo import metrics as M, stats as S
from stats_help import scored as scored

def test_published_tables_are_the_papers():
    assert S.published('cc2017').set_index('method').loc['SemVideo'][list(
        M.TEN)].tolist() == [.838, .865, .225, .264, .608, .321, 9.448, .849, .526, 4.788]
    assert S.published('hcp').set_index('method').loc['SemVideo', 'EPE'] == 4.05 and len(
        S.published('mllm')) == 3 and len(S.published('captions')) == 22
    a,m = S.published('ablation').iloc[0],S.published('mllm').iloc[0]
    assert all(a[c] == m[c] for c in M.TEN) # the full row of the ablation is the Video-LLaMA row
    with pytest.raises(SemvideoError, match='cc2017'): S.published('cc')

def test_leaderboard_marks_what_cannot_be_compared(scored):
    t,r,*_ = scored
    e = M.evaluate(r, t, 'paper', None, epe_size='native')
    b,n = S.leaderboard(e, 'mine')
    assert b.iloc[-1].drop('method').isna().all() and 'scored on other' in n.loc['SSIM', 'mine']
    assert 'clips 24, not 1200' in S.leaderboard(e, 'mine', data='cc2017')[1].loc['SSIM', 'mine']
    e.attrs.update(shape=[1200, 12, 64, 64], clips=1200, fps=6.) # as SemVideo's table is made
    b,n = S.leaderboard(e, 'mine', data='cc2017')
    assert b.iloc[-1].SSIM == pytest.approx(
        e[e.metric == 'SSIM'].value.mean()) and n.loc['2-way-I', 'mine'] == 'not measured'
    b,n = S.leaderboard(M.evaluate(r, t, models=None), 'mine', data='cc2017')
    assert 'strict profile' in n.loc['SSIM', 'mine'] and np.isnan(b.iloc[-1].SSIM)

def test_a_miniature_is_not_put_beside_cc2017(scored, tmp_path, capsys):
    "Its manifest may name the layout it is written in; what was simulated is not scored on CC2017."
    from semvideo.cli import main
    t,r,*_ = scored
    ids = [f'{i:04d}' for i in range(24)]
    s = Study.create(
        tmp_path/'s', 'cc2017', 'CC2017',
        pd.DataFrame(
            dict(clip_id=ids, split='test', segment='test1', onset_s=np.arange(24)*2.,
                 duration_s=2., source='x')), {})
    s.save_fmri(1, 'test', np.zeros((24, 1, 3), np.float32))
    (s.path/'evaluate/sub-1').mkdir(parents=True)
    M.evaluate(r, t, 'paper', None, clip_ids=ids,
               epe_size='native').assign(system='SemVideo').to_csv(
                   s.path/'evaluate/sub-1/clips.csv', index=False)
    go = lambda: (main(['leaderboard', '--study',
                        str(s.path), '--subject', '1']), capsys.readouterr().out)[1]
    assert 'simulated' not in go()
    (s.path/'miniature').mkdir()
    assert 'scored on simulated data, not cc2017' in go()
