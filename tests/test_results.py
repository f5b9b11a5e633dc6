"""585_results: the table of results against plain arithmetic, and what it does with missing values."""
import numpy as np, pandas as pd
from semvideo.evaluate import OURS, results_table
from semvideo.stats import time_blocks

ids = [f"c{i:03d}" for i in range(60)]

def rows(system, metric, value, **kw):
    return pd.DataFrame(
        dict(
            dict(clip_id=ids, system=system, metric=metric, variant="v", value=value, chance=.5,
                 unit="u"), **kw))

clips = pd.DataFrame(
    dict(clip_id=ids, segment=["test1"]*30 + ["test2"]*30, onset_s=np.tile(np.arange(30)*2., 2)))

def scores(rng):
    return pd.concat(
        [rows(s, m, rng.normal(size=60)) for m in ("kind", "EPE") for s in (OURS, "mean video")])

def test_values_and_paired_gains():
    s = scores(np.random.default_rng(0))
    t = results_table(s, time_blocks(clips, 20.), 300)
    for _, r in t.iterrows():
        v = s[(s.system == r.system) & (s.metric == r.metric)].value.to_numpy()
        ours = s[(s.system == OURS) & (s.metric == r.metric)].value.to_numpy()
        assert np.isclose(r.value, v.mean()) and r.low < r.value < r.high and r.n == 60
        sign = -1 if r.metric == "EPE" else 1
        if r.system != OURS:
            assert np.isclose(r.gain,
                              (sign*(ours - v)).mean()) and (r.beaten == "yes") == (r.gain_low > 0)
    assert (t.direction[t.metric == "EPE"] == "lower").all()

def test_order_of_rows_changes_nothing():
    s = scores(np.random.default_rng(1))
    a = results_table(s, time_blocks(clips, 20.), 200)
    b = pd.concat([
        g.iloc[np.random.default_rng(2).permutation(60)] if k[0] != OURS else g
        for k, g in s.groupby(["system", "metric"], sort=False)
    ])
    b = results_table(b, time_blocks(clips, 20.), 200)
    key = ["system", "metric"]
    pd.testing.assert_frame_equal(a.sort_values(key, ignore_index=True),
                                  b.sort_values(key, ignore_index=True))

def test_a_clip_without_a_value_is_left_out_of_its_metric_alone():
    v = np.ones(60); v[::2] = np.nan
    t = results_table(
        pd.concat([
            rows(OURS, "direction", v),
            rows("null", "direction", np.where(np.isnan(v), np.nan, 0.)),
            rows(OURS, "kind", np.ones(60))
        ]), time_blocks(clips, 20.), 100)
    assert t.set_index(["system", "metric"]).n.to_dict() == {
        (OURS, "direction"): 30,
        ("null", "direction"): 30,
        (OURS, "kind"): 60
    }
    assert t.beaten.tolist() == ["", "yes", ""]

def test_identical_system_is_not_beaten():
    v = np.random.default_rng(3).random(60)
    t = results_table(pd.concat([rows(OURS, "kind", v),
                                 rows("copy", "kind", v)]), time_blocks(clips, 20.), 100)
    assert t.gain.iloc[1] == 0 and t.beaten.iloc[1] == "no"

def test_one_block_gives_no_interval():
    t = results_table(
        pd.concat([rows(OURS, "kind", np.ones(60)),
                   rows("null", "kind", np.zeros(60))]), np.zeros(60, int), 100)
    assert np.isnan(t.low).all() and t.value.tolist() == [1, 0] and t.beaten.tolist() == ["", ""]
