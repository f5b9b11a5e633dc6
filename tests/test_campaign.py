"""The GPU campaign runs whole on the CPU at tiny size, and notices what is wrong."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent/"gpu"))
import campaign # noqa: E402 (it lies beside the tests)
from semvideo.render_cost import count_flops # noqa: E402

root = Path(__file__).resolve().parents[1]


def campaign_of(out, *parts, **env):
    "-> exit status, the report"
    run = subprocess.run(["bash", "tests/gpu/campaign.sh", str(out), "--dry-run", *(["--only", *parts] if parts else [])], cwd=root,
                         capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1", **env))
    assert (out/"gpu.json").is_file(), run.stderr[-2000:]
    return run.returncode, json.loads((out/"gpu.json").read_text())


@pytest.mark.parametrize("left_out", [{"compiled"}, pytest.param(set(), marks=pytest.mark.long)], ids=["without compiling", "whole"])
def test_dry_run(tmp_path, left_out):
    "Every part but those that need a GPU gives figures; each stands in the report with its time."
    asked = [part for part in campaign.PARTS if part not in left_out]
    status, report = campaign_of(tmp_path, *asked)
    parts = report["parts"]
    assert status == 0 and list(parts) == asked
    assert all(parts[p]["skipped"] for p in ("tests", "full_gpu"))
    assert parts["equality"]["ok"] and parts["training"]["same_bytes"]
    assert parts["render"]["64 px, faithful"]["clips_per_minute"] > 0 and parts["sad"]["fp32"]["ms"] > 0 and parts["mad"]["bf16"]["products_ms"] > 0
    assert report["machine"]["gpu"] is None and report["machine"]["torch"]
    assert "compiled" in left_out or parts["compiled"]["render"]["seconds_a_clip"] > 0


def test_part_that_hangs_and_part_that_fails(tmp_path, monkeypatch):
    "A part over its time, one that raises and one that dies leave the others' results, and the exit status says so."
    import time
    parts = dict(hangs=(lambda size: time.sleep(60), .05), raises=(lambda size: 1/0, 20), dies=(lambda size: os._exit(3), 20), good=(lambda size: dict(ms=1), 20))
    monkeypatch.setattr(campaign, "PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["campaign.py", str(tmp_path), "--dry-run"])
    assert campaign.main() == 1
    report = json.loads((tmp_path/"gpu.json").read_text())["parts"]
    assert "not done" in report["hangs"]["error"] and "ZeroDivisionError" in report["raises"]["error"]
    assert report["dies"]["error"] == "ended with 3" and report["good"]["ms"] == 1


def test_equality_sees_a_difference(monkeypatch):
    "A renderer that is off by a few grey levels is too far."
    from semvideo.cvr import CVR
    true, calls = CVR.render, []
    def shifted(self, *a, **kw):
        calls.append(1)
        return true(self, *a, **kw) + np.uint8(3*(len(calls) > 2)) # the second device is another
    monkeypatch.setattr(CVR, "render", shifted)
    result = campaign.equality(campaign.TINY)
    assert not result["ok"] and any(k.startswith("render") for k in result["too_far"])


def test_products_are_counted():
    "The matrix products of a call, run again alone, have its operations."
    import torch
    a = torch.randn(32, 32)
    with campaign.Products() as products: torch.nn.functional.gelu(a@a)@a
    assert len(products.calls) == 2
    assert count_flops(products.again) == 2*2*32**3
