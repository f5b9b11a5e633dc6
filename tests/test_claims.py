"""551_claims: which sentences the numbers carry: two equal systems, a frozen frame, simple decoders; and the null runs of the demo."""
import numpy as np, pandas as pd
from semvideo.core import read_json
from semvideo import stats as S
from stats_help import ar, scored as scored
import bench_trust

def test_two_equal_systems_are_rarely_called_more_than_a_simple_decoder():
    "20 metrics, 200 runs of two systems of the same law: better somewhere by luck is not better."
    ok = []
    for seed in range(200):
        rows = [dict(system='ridge', metric=f'm{i}', variant='', **S.compare(*ar(.3, 2, 200, seed=(seed*20+i)), 20))
                for i in range(20)]
        ok.append(S.baseline_check(pd.DataFrame(rows))['ok'])
    assert np.mean(ok) <= .05

def test_simple_decoders_are_named_once_and_a_metric_on_both_sides_by_its_variant():
    rows = pd.DataFrame([
        dict(system=s, metric=m, variant=v, low=lo, high=lo + .1)
        for s, m, v, lo in (('ridge', 'SSIM', 'strict', .1), ('ridge', 'PSNR', 'strict', .1),
                            ('nearest', 'CLIP-pcc', 'gated', .1), ('nearest', 'CLIP-pcc', 'ungated',
                                                                   -.3), ('nearest', 'EPE',
                                                                          'strict', -.05))
    ])
    rows = rows.assign(p=.001, how='t over 9 stretches')
    c = S.baseline_check(rows)
    assert c[
        'says'] == 'above: nearest on CLIP-pcc (gated); ridge on PSNR, SSIM. Below: nearest on CLIP-pcc (ungated)' and c[
            'ok'] is False
    assert S.baseline_check(
        rows[rows.low > 0])['says'].endswith('Below: none') and S.baseline_check(
            rows[rows.low > 0])['ok'] is True
    lucky = S.baseline_check(rows[rows.low > 0].assign(p=.04)) # three questions: .04 is luck
    assert lucky['ok'] is False and lucky['says'].startswith('above: none')
    untold = rows.assign(p=np.nan, low=np.nan, high=np.nan, how='no interval: 20 clips')
    assert S.baseline_check(untold)['ok'] is None

def test_a_frozen_frame_is_a_null_of_motion_alone(scored):
    """It keeps the object; so a system that decodes the object and nothing of its motion may still claim
    the object."""
    t,r,tr,lad = scored
    still = np.repeat(r[:, 3:4], r.shape[1], 1)
    c = S.card(S.ladder(still, t, S.nulls(still, tr), models=None), 3)
    says = {x['check']: x for x in c.checks}
    assert 'frozen first frame' in set(c.rungs.system) and 'frozen' not in says['pixel fidelity'][
        'says'] and 'frozen first frame' in says['motion']['says'] and not says['motion']['ok']

def test_null_runs_of_the_demo_are_those_of_this_code():
    """Every claim that a card can make was offered to 200 null runs of each kind, by the functions that judge today;
    where one of them has changed, `python tests/bench_trust.py STUDY` has to be run again."""
    kept = read_json(bench_trust.OUT)
    assert kept['code'] == bench_trust.code_hash(), 'run tests/bench_trust.py again: what judges has changed'
    offered = {*S.CLAIMS, 'smoothness', 'more than a simple decoder', 'order of frames'}
    assert kept['runs'] >= 200 and set(kept['licensed']) == {'shuffled', 'shifted', 'drift'}
    for by in kept['licensed'].values(): assert set(by) == offered and max(by.values()) <= .05
    told = {title: {c['check']: c['ok'] for c in checks if c['kind'] == 'claim'} for title, checks in kept['cards'].items()}
    assert not any(told['shuffled fMRI'].values()) and all(told['real fMRI'][c] for c in (*S.CLAIMS, 'order of frames'))

def test_the_hash_of_the_code_sees_a_changed_number_and_no_space(monkeypatch):
    before = bench_trust.code_hash()
    source = bench_trust.inspect.getsource
    monkeypatch.setattr(bench_trust.inspect, 'getsource', lambda f: source(f).replace('< .05', '<  .05'))
    assert bench_trust.code_hash() == before
    monkeypatch.setattr(bench_trust.inspect, 'getsource', lambda f: source(f).replace('< .05', '< .1'))
    assert bench_trust.code_hash() != before
