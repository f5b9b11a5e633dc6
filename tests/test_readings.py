"""705_readings: identification, nearest rows, standing, levels in the order of the captions."""
import numpy as np
import pandas as pd
from semvideo.metrics import identification, nearest_rows
from semvideo.report import choose_clips, shared_words, standing, states_table
from page_help import decoded_of, study as study


def test_nearest_rows_is_brute_force_and_block_free():
    r = np.random.default_rng(0)
    d, c = r.standard_normal((9, 3, 2)), r.standard_normal((50, 3, 2)) + 3
    m = c.mean(0)
    u = lambda a: ((a - m)/np.linalg.norm(a - m, axis=(1, 2), keepdims=True)).reshape(len(a), -1)
    want = (u(d) @ u(c).T).argmax(1)
    for block in (1, 7, 64): assert (nearest_rows(d, c, block)[0] == want).all()


def test_identification_is_chance_for_noise_and_one_for_truth():
    r = np.random.default_rng(0)
    y = r.standard_normal((200, 30))
    on = np.arange(200)*2.
    assert identification(
        y, y,
        on).min() == 1 and abs(identification(r.standard_normal(y.shape), y, on).mean() - .5) < .06
    assert shared_words('', '') == 0 and shared_words('a b', 'b a') == 1


def test_clip_choice_has_no_overlap_and_keeps_its_rule():
    r = pd.Series(np.random.default_rng(0).random(50), index=[f'c{i}' for i in range(50)])
    c = choose_clips(r, 4)
    names = [n for n, _ in c]
    order = r.sort_values(ascending=False).index.tolist()
    assert len(set(names)) == 12 and names[:4] == order[:4] and names[-4:] == order[-4:] and set(
        names[4:8]) == set(order[23:27])
    assert len(choose_clips(r.iloc[:2], 4)) == 0 and len(choose_clips(r.iloc[:3], 4)) == 3


def test_standing_ignores_scale_and_constant_metrics():
    v = np.random.default_rng(0).random(10)
    t = lambda m, x: pd.DataFrame(
        dict(clip_id=[f'c{i}' for i in range(10)], metric=m, variant='x', value=x))
    a = standing(t('SSIM', v))
    pd.testing.assert_series_equal(
        a,
        standing(pd.concat([t('SSIM', v),
                            t('PSNR', 10*v + 3),
                            t('EPE', -v),
                            t('VIFI-score', .5)])))


def test_levels_come_in_the_order_of_the_captions(study):
    assert states_table(study, decoded_of(study, .3), others={'ridge': decoded_of(
        study, 1.)})[['level', 'decoder']].agg(' '.join, axis=1).tolist() == [
            f'{l} {d}' for l in ('anchor', 'motion', 'holistic') for d in ('SAD', 'ridge')
        ]
