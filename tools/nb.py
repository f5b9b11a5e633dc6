"""Work on the notebooks from a terminal, one writer at a time.

    python tools/nb.py from draft.py nbs/106_video.ipynb   percent text -> notebook (outputs of unchanged cells are kept)
    python tools/nb.py to nbs/106_video.ipynb draft.py     notebook -> percent text
    python tools/nb.py run nbs/106_video.ipynb [...]       export, execute in a fresh process, store the outputs, clean
    python tools/nb.py export                             nbdev_export of everything
    python tools/nb.py check                              are notebooks clean and modules in sync? changes nothing
    python tools/nb.py clean                              nbdev_clean of everything
    python tools/nb.py titles                             give prose below title and subtitle a cell of its own, everywhere

`run` honours nbdev's flags as `nbdev_test` does: a cell flagged with one of `tst_flags`, or `#| eval: false`,
is not run and keeps the outputs it has. `run --flags "slow"` runs those as well.
"""
import argparse, contextlib, fcntl, hashlib, json, os, re, shutil, subprocess, sys, tempfile
from pathlib import Path

root = Path(__file__).resolve().parents[1]

@contextlib.contextmanager
def locked():
    "Hold the repository's one lock, so that two exports never write at once."
    name = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    with open(Path(tempfile.gettempdir())/f"semvideo-nb-{name}.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield

def src_of(cell): return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])

def cell_ids(cells):
    "The same text gives the same ids: the hash of a cell's kind and source, counted where it repeats."
    seen = {}
    for c in cells:
        h = hashlib.sha256((c["cell_type"] + "\n" + src_of(c)).encode()).hexdigest()[:8]
        seen[h] = n = seen.get(h, 0) + 1
        yield h if n == 1 else f"{h}-{n}"

def title_and_rest(src):
    "The title cell of a page cut in two: title and subtitle, which nbdev makes the head of the page of, and what it would drop with them."
    m = re.match(r"# \S.*\n*(?:> .*\n*)?", src)
    return (m.group().rstrip("\n"), src[m.end():]) if m else (src, "")

def split_title(cells):
    "Cells of a notebook with a title cell that holds title and subtitle alone."
    at = next((i for i, c in enumerate(cells) if c["cell_type"] == "markdown"), None)
    head, rest = ("", "") if at is None else title_and_rest(src_of(cells[at]))
    if not rest: return cells
    two = [{**cells[at], "source": part.splitlines(True)} for part in (head, rest)]
    return [*cells[:at], *two, *cells[at+1:]]

def split_titles():
    "`split_title` for every notebook; says which changed."
    for path in sorted((root/"nbs").rglob("*.ipynb")):
        nb = json.loads(path.read_text(encoding="utf-8"))
        cells = split_title(nb["cells"])
        if cells is nb["cells"]: continue
        for c, i in zip(cells, cell_ids(cells)):
            if c not in nb["cells"]: c["id"] = i
        nb["cells"] = cells
        with locked(): path.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path.relative_to(root))

def clean(path):
    from nbdev.clean import nbdev_clean
    nbdev_clean(str(path))

def from_percent(src, dest):
    "Percent text at `src` to the notebook `dest`, keeping the stored outputs of code cells whose text did not change."
    import jupytext
    nb = jupytext.read(src, fmt="py:percent")
    old = {}
    if Path(dest).exists():
        for c in json.loads(Path(dest).read_text(encoding="utf-8"))["cells"]:
            if c["cell_type"] == "code" and c.get("outputs"): old.setdefault(src_of(c), c["outputs"])
    cells, parts = [], split_title([dict(cell_type=c.cell_type, source=c.source) for c in nb.cells])
    for c, i in zip(parts, cell_ids(parts)):
        d = dict(cell_type=c["cell_type"], id=i, metadata={}, source=src_of(c).splitlines(True))
        if c["cell_type"] == "code": d.update(execution_count=None, outputs=old.get(src_of(c), []))
        cells.append(d)
    ks = dict(name="python3", display_name="python3", language="python")
    out = dict(cells=cells, metadata=dict(kernelspec=ks), nbformat=4, nbformat_minor=5)
    with locked():
        Path(dest).write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        clean(dest)

def to_percent(src, dest):
    import jupytext
    jupytext.write(jupytext.read(src), dest, fmt="py:percent")

def export_one(nb):
    from nbdev.export import nb_export, optional_procs
    import nbdev.export as ex
    nb_export(str(nb), procs=[getattr(ex, p) for p in optional_procs()])

def execute(path, flags=""):
    "Run the notebook in this process and write its outputs back; the exit status is 1 where a cell raised."
    os.environ["IN_TEST"] = "1"
    from nbdev.config import get_config
    from nbdev.process import NBProcessor
    from nbdev.frontmatter import FrontmatterProc
    from execnb.shell import CaptureShell
    from execnb.nbio import read_nb, write_nb
    from fastcore.xtras import working_directory
    path = Path(path).resolve()
    skip = set(get_config().tst_flags.split()) - set(flags.split())
    marked = NBProcessor(path, procs=FrontmatterProc, process=True).nb
    if str(getattr(marked, "frontmatter_", {}).get("skip_exec", False)).lower() == "true": return 0
    def no_run(c):
        d = getattr(c, "directives_", None) or {}
        return "nbdev_export(" in c.source or d.get("eval:", [""])[0].lower() == "false" or bool(skip & d.keys())
    quiet = [c.cell_type == "code" and no_run(c) for c in marked.cells]
    nb = read_nb(path)
    assert len(nb.cells) == len(quiet)
    sys.path.insert(0, str(root))
    shell, rc = CaptureShell(path, mpl_format="png"), 0
    with working_directory(get_config().nbs_path if path.parent == get_config().nbs_path else path.parent):
        for i, (c, q) in enumerate(zip(nb.cells, quiet)):
            if c.cell_type != "code" or q: continue
            shell._cell_idx = i + 1
            c.outputs = shell.run(c.source)
            if shell.exc:
                sys.stderr.write(shell.prettytb(fname=path) + "\n")
                rc = 1
                break
    if not rc: write_nb(nb, path)
    return rc

def run(paths, flags=""):
    "Export, execute and store each notebook; a notebook edited meanwhile is left alone."
    rc = 0
    for p in map(Path, paths):
        with locked(): export_one(p)
        env = dict(os.environ, IN_TEST="1", MALLOC_MMAP_THRESHOLD_=str(1 << 30), MALLOC_TRIM_THRESHOLD_=str(1 << 32), PYTHONPATH=str(root), MPLBACKEND="module://matplotlib_inline.backend_inline")
        # it is executed as a copy beside it, so that a long run never overwrites an edit made meanwhile
        tmp = p.with_name(f"_run-{os.getpid()}-{p.name}")
        before = p.read_bytes()
        tmp.write_bytes(before)
        try:
            r = subprocess.run([sys.executable, __file__, "_exec", str(tmp.resolve()), "--flags", flags], env=env, cwd=p.resolve().parent)
            if r.returncode == 0:
                with locked():
                    if p.read_bytes() != before:
                        print(f"{p}: edited while it ran; outputs not stored", file=sys.stderr); rc = 1; continue
                    shutil.copyfile(tmp, p)
                    clean(p)
            else: rc = 1
            print(f"{p}: {'ok' if r.returncode == 0 else 'FAILED (outputs not stored)'}")
        finally: tmp.unlink(missing_ok=True)
    return rc

def export():
    from nbdev.doclinks import nbdev_export
    with locked(): nbdev_export()

def check():
    "Copy the sources aside, clean and export there, and compare: nothing in this checkout changes."
    tracked = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True).stdout.split("\0")
    keep = [f for f in tracked if f and (f.endswith((".ipynb", ".py", ".yml", ".css", ".ini", ".md")))]
    bad = []
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)/root.name
        for f in keep:
            if not (root/f).exists(): continue
            (d/f).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root/f, d/f)
        env = {k: v for k, v in os.environ.items() if k != "IN_TEST"}
        code = "from nbdev.clean import nbdev_clean; from nbdev.doclinks import nbdev_export; nbdev_clean(); nbdev_export()"
        subprocess.run([sys.executable, "-c", code], cwd=d, env=env, check=True)
        for f in sorted(set(keep) | {str(p.relative_to(d)) for p in d.rglob("*.py")} | {str(p.relative_to(d)) for p in d.rglob("*.ipynb")}):
            a, b = root/f, d/f
            if (a.read_bytes() if a.exists() else None) != (b.read_bytes() if b.exists() else None): bad.append(f)
    for f in bad: print(f"not clean or not in sync: {f}")
    if not bad: print("notebooks clean, exports in sync")
    return int(bool(bad))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="cmd", required=True)
    for name in ("from", "to"):
        s = sub.add_parser(name); s.add_argument("src"); s.add_argument("dest")
    s = sub.add_parser("run"); s.add_argument("nb", nargs="+"); s.add_argument("--flags", default="")
    s = sub.add_parser("_exec"); s.add_argument("nb"); s.add_argument("--flags", default="")
    for name in ("export", "check", "clean", "titles"): sub.add_parser(name)
    a = p.parse_args()
    if a.cmd == "from": return from_percent(a.src, a.dest)
    if a.cmd == "to": return to_percent(a.src, a.dest)
    if a.cmd == "run": return run(a.nb, a.flags)
    if a.cmd == "_exec": return execute(a.nb, a.flags)
    if a.cmd == "check": return check()
    if a.cmd == "titles": return split_titles()
    if a.cmd == "clean":
        with locked(): return clean(root/"nbs")
    return export()

if __name__ == "__main__": sys.exit(main())
