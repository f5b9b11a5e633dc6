"""Figures of what each stage of the demo made, beside the code version of the stage that made it.

    python tests/fingerprint.py STUDY            compare with tests/results/fingerprints.json
    python tests/fingerprint.py STUDY --record   write it anew, after a version was raised

Processors differ in the last bits, and training carries them along: figures are means and spreads, compared within TOLERANCE of the spread (of a twentieth of the mean, where nothing is spread).
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np

RECORD = Path(__file__).parent/"results/fingerprints.json"
TOLERANCE = .02


def arrays(file):
    "Every numeric array of a file, by name."
    import pandas as pd
    from safetensors.numpy import load_file
    if file.suffix == ".npy": return {"": np.load(file, allow_pickle=False)}
    if file.suffix == ".safetensors": return load_file(file)
    if file.suffix == ".csv": return dict(pd.read_csv(file).select_dtypes("number"))
    return {}


def figures(file):
    "{array: [shape, mean, spread]} of a file."
    out = {}
    for name, values in arrays(file).items():
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        if values.size: out[name] = [int(values.size), float(values.mean()), float(values.std())]
    return out


def fingerprint(path):
    "{stage: {version, files: {file: figures}}} of a study."
    from semvideo.core import Study
    study, out = Study(path), {}
    for key, record in study.stages().items():
        named_by_content = lambda f: "/features/" in f # other last bits, other names
        files = {f: figures(study.path/f) for f in sorted(record["files"]) if not named_by_content(f)}
        out[key] = dict(version=record["version"], files={f: v for f, v in files.items() if v})
    return out


def moved(old, new):
    "Stages whose figures are others while their version is the same, as sentences."
    out = []
    for key, was in old.items():
        now = new.get(key)
        if now is None: out.append(f"{key} is no longer made"); continue
        if now["version"] != was["version"]: continue
        for file, arrays_were in was["files"].items():
            for name, (size, mean, spread) in arrays_were.items():
                got = now["files"].get(file, {}).get(name)
                few = 5 if size < 100 else 1 # a row of a small table is one answer of many clips: a clip that tips moves it
                near_by = few*TOLERANCE*max(spread, .05*abs(mean), 1e-6)
                near = got and got[0] == size and np.allclose(got[1:], (mean, spread), rtol=0, atol=near_by)
                if not near: out.append(f"{key}: {file} {name}: {got}, was {[size, mean, spread]}")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("study", type=Path)
    p.add_argument("--record", action="store_true")
    a = p.parse_args()
    new = fingerprint(a.study)
    if a.record:
        text = json.dumps(new, indent=None, separators=(",", ":"), sort_keys=True, default=float)
        RECORD.write_text(text.replace('"files":', '\n "files":').replace("]},", "]},\n  ") + "\n")
        return 0
    said = moved(json.loads(RECORD.read_text()), new)
    print("\n".join(said) or "every stage gives what it gave")
    return bool(said)


if __name__ == "__main__": sys.exit(main())
