"555_trust: the card of a ladder and of a study licenses, refuses and says why."
import numpy as np, pandas as pd, pytest
from semvideo.core import SemvideoError, Study
from semvideo import stats as S
from stats_help import noisy, scored as scored

def test_a_table_that_cannot_be_covered_licenses_nothing_and_says_so(scored):
    t,r,tr,lad = scored
    c = S.card(lad, None, shuffle=S.shuffle_test(r, t, swaps=2))
    claims = {x['check']: x for x in c.checks if x['kind'] == 'claim'}
    assert not c.licensed and 'cannot be told, no interval' in claims['motion']['says']
    assert 'Cannot be told' in claims['order of frames']['says'] and c.metrics.low.isna().all()
    assert next(x for x in c.checks if x['check'] == 'intervals')['ok'] is None

def test_card_licenses_and_refuses(scored):
    t,r,tr,lad = scored
    c = S.card(lad, 3, shuffle=S.shuffle_test(r, t))
    ok = {x['check']: x['ok'] for x in c.checks}
    assert ok['motion'] and ok['pixel fidelity'] and ok['order of frames'] and ok[
        'smoothness'] is False and ok['meaning of frames'] is None
    n = S.nulls(r, tr)
    b = S.card(S.ladder(n.pop('mean image'), t, n, models=None), 3)
    says = {x['check']: x['says'] for x in b.checks}
    assert not {
        x['check']: x['ok']
        for x in b.checks
    }['motion'] and 'no claim of decoded motion' in says['motion']
    s = S.card(S.ladder(S.nulls(r, tr, seed=9)['shuffled fMRI'], t, S.nulls(r, tr), models=None), 3)
    assert 'motion' not in s.licensed and 'pixel fidelity' not in s.licensed

def test_the_card_says_what_stands_above_and_what_epe_rewards(scored):
    t,r,tr,lad = scored
    mean = S.nulls(r, tr)['mean image']
    systems = S.nulls(r, tr)|{'random training clip': noisy(t, 1)} # a null that beats us
    c = S.card(S.ladder(noisy(r, 60), t, systems, models=None), 3)
    m = c.metrics.set_index('metric')
    assert 'random training clip' in m.loc['SSIM', 'nulls_above'] and 'random training clip' in c.to_html()
    says = next(x['says'] for x in c.checks if x['check'] == 'motion')
    rows = c.rungs[(c.rungs.metric == 'EPE') & (c.rungs.system == 'frozen first frame')].iloc[0]
    assert f'{rows.difference:+.3g}' in says and 'EPE rewards not moving' in says and 'Flow-correlation' in says
    still = S.card(S.ladder(mean, t, {'copy': mean}, models=None), 3)
    assert 'EPE' not in next(x['says'] for x in still.checks if x['check'] == 'motion').split(':')[-1]

def test_trust_card_of_a_study(scored, tmp_path):
    t,r,tr,lad = scored; ids = [f'{i:04d}' for i in range(24)]
    st_ = Study.create(
        tmp_path/'s', 'toy', 'discs',
        pd.DataFrame(
            dict(clip_id=ids, split='test', segment='test1', onset_s=np.arange(24)*2.,
                 duration_s=2., source='x')), {})
    with pytest.raises(SemvideoError, match='Not evaluated'): S.trust_card(st_, 1)
    (st_.path/'evaluate/sub-1').mkdir(parents=True)
    lad[lad.system != 'truth'].drop(columns='rung').to_csv(st_.path/'evaluate/sub-1/clips.csv',
                                                           index=False)
    st_.log('reads', split='test', by='train')
    c = S.trust_card(st_, 1, seconds=6)
    ok = {x['check']: x['ok'] for x in c.checks}
    assert ok['all clips scored'] and ok['test set chooses nothing'] is False and ok[
        'seed variance'] is None and ok['motion']
    (st_.path/'leak_audit.csv').write_text('check,status\nframes,leak\ntime,ok\n')
    says = {x['check']: x for x in S.trust_card(st_, 1, seconds=6).checks}
    assert says['no leaks']['ok'] is False and 'frames' in says['no leaks']['says']
    fewer = lad[lad.clip_id != '0003'].drop(columns='rung')
    assert not {
        x['check']: x['ok']
        for x in S.trust_card(st_, fewer, seconds=6).checks
    }['all clips scored']
    with pytest.raises(SemvideoError, match='does not have'):
        S.trust_card(st_, lad.assign(clip_id='z'+lad.clip_id))

def test_systems_on_some_clips_are_compared_on_those(scored):
    t,r,tr,lad = scored
    some = list(dict.fromkeys(lad.clip_id))[::4]
    part = lad[lad.system != 'truth']
    part = pd.concat([part, lad[(lad.system == 'truth') & lad.clip_id.isin(some)]])
    g = S.rungs(part, 3)
    n = dict(zip(zip(g.metric, g.system), g.n))
    o = lad[(lad.rung == 'ours') & (lad.metric == 'PSNR')]
    assert n['PSNR', 'truth'] == len(some) == 6 and n['PSNR', 'mean image'] == 24
    assert g[(g.metric == 'PSNR') & (g.system == 'truth')].ours.item() == pytest.approx(
        o[o.clip_id.isin(some)].value.mean())
    c = S.card(part, 3)
    m = c.metrics.set_index('metric')
    assert m.loc['PSNR', 'n'] == 24 and m.loc['PSNR', 'rank'].startswith('2 of')
