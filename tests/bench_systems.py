"""What `semvideo compare` gave on a demo, with what each system should beat: `python tests/bench_systems.py STUDY [SUBJECT]` gathers every
table compare/sub-S/test-seed*.csv and the seconds of the log into tests/results/systems.json. STUDY is compared
(`semvideo compare --study STUDY`, once a seed)."""
import json, platform, re, subprocess, sys, time
from pathlib import Path
import numpy as np
from semvideo.core import Study, read_csv, write_text
from semvideo.systems import AIMS
from semvideo.field import SYSTEMS

OUT = Path(__file__).parent/"results"/"systems.json"
NULLS = "mean", "random"


def rounded(x): return None if not np.isfinite(x) else round(float(x), 4)


def seconds(study, subject, seed):
    "Seconds of fitting and of showing each system, from the log (the last that was run)."
    out = {}
    for e in study.events():
        if e.get("by") == "compare" and "seconds" in e and e["subject"] == subject:
            if e["event"] == "fitted" or e.get("label", "").startswith(f"test-seed{seed}"): out.setdefault(e["system"], {})[e["event"]] = e["seconds"]
    return out


def one_table(table, times):
    "A row a system: its answers, with another brain, whether it stands out, and whether its aims are met."
    rows = {}
    for name, own in table.groupby("system", sort=False):
        own = own[own.metric.isin(AIMS)].set_index("metric")
        answers = {q: {k: rounded(own.loc[q, k]) for k in ("value", "low", "high", "other", "reads", "reads_low", "reads_high", "n_eff")}
                   | dict(top=own.loc[q, "top"] == "yes") for q in own.index}
        best_null = {q: max(table[(table.metric == q) & table.system.isin(NULLS)].value, default=np.nan) for q in own.index}
        aims = {q: bool(own.loc[q, "value"] > best_null[q] and own.loc[q, "reads_low"] > 0) for q in SYSTEMS[name].card.aims}
        rows[name] = dict(answers=answers, aims=aims, seconds=times.get(name, {}))
    asked = table[table.metric.isin(AIMS)].groupby("metric").agg(chance=("chance", "mean"), n=("n", "first"), pieces=("pieces", "first"))
    return dict(questions=asked.round(4).to_dict("index"), systems=rows)


def main(path, subject=1):
    study = Study(path)
    seeds = {}
    for file in sorted((study.path/f"compare/sub-{subject}").glob("test-seed*.csv")):
        if m := re.fullmatch(r"test-seed(\d+)(-films)?", file.stem):
            seeds[m[1]+(" with films" if m[2] else "")] = one_table(read_csv(file).fillna(dict(top="")), seconds(study, subject, m[1]))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
    found = dict(study="demo", subject=subject, date=time.strftime("%Y-%m-%d"), commit=commit,
                 machine=f"{platform.machine()}, 2 shared cores that may do other work too, one thread a process", seeds=seeds)
    write_text(OUT, json.dumps(found, indent=1)+"\n")
    for seed, t in seeds.items():
        print("seed", seed, {k: v["pieces"] for k, v in t["questions"].items()})
        for name, row in t["systems"].items():
            print(f"  {name:14}", "  ".join(f"{q} {a['value']:.2f}{'*' if a['top'] else ' '}({a['other']:.2f})" for q, a in row["answers"].items()),
                  row["seconds"], {q: "met" if ok else "not met" for q, ok in row["aims"].items()})


if __name__ == "__main__": main(sys.argv[1], *map(int, sys.argv[2:3]))
