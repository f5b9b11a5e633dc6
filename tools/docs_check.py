"""Build the site without Quarto and look for broken links, anchors and pictures: python tools/docs_check.py [--keep DIR]

nbdev's own processors turn the notebooks into pages (doclinks, signatures, sidebar); smalldocs reads the same `_quarto.yml` and renders them.
That proves content, links and that every page is there. It does not prove Quarto's own rendering: the site workflow does that with Quarto.
"""
import os, re, shutil, subprocess, sys, tempfile
from pathlib import Path
from urllib.parse import unquote

root = Path(__file__).resolve().parents[1]

def plain_name(p): return re.sub(r"^\d+[a-z]?_", "", p)

def process():
    "nbs/ through nbdev's processors; returns the folder of processed notebooks."
    from nbdev.quarto import refresh_quarto_yml, nbdev_sidebar
    from nbdev.serve import proc_nbs
    import nbdev.doclinks
    refresh_quarto_yml()
    nbdev.doclinks._build_modidx()
    nbdev_sidebar.__wrapped__()
    return Path(proc_nbs(n_workers=2, force=True))

def strip_numbers(src, dest):
    "Copy the processed pages under the names the site gives them (smalldocs ignores `output-file`)."
    shutil.copytree(src, dest, symlinks=False)
    for p in sorted(dest.rglob("*.ipynb")): p.rename(p.with_name(plain_name(p.name)))
    side = dest/"sidebar.yml"
    side.write_text(re.sub(r"(?<![\w.])\d+[a-z]?_(?=[\w.]+\.ipynb)", "", side.read_text()))
    for p in dest.rglob("*.ipynb"): p.write_text(re.sub(r"(\]\((?:\.\./)?)\d+[a-z]?_(?=[\w.]+\.ipynb)", r"\1", p.read_text()))

def broken_anchors(out):
    "Links to a place in a page that has no such place, of all pages under a folder: list of sentences."
    pages = {p.relative_to(out).as_posix(): p.read_text(encoding="utf-8") for p in sorted(out.rglob("*.html"))}
    ids = {name: set(re.findall(r"""\sid=["']([^"']+)["']""", text)) for name, text in pages.items()}
    said = []
    for name, text in pages.items():
        for href in set(re.findall(r"""<a\s[^>]*?href=["']([^"':]*#[^"']+)["']""", text)):
            page, place = href.split("#", 1)
            target = os.path.normpath(Path(name).parent/page) if page else name
            if target in ids and unquote(place) not in ids[target]: said.append(f"{name}: broken anchor {href}")
    return said

def unlisted_by_models(out):
    "What llms.txt of the site names and the site lacks, or the other way round: list of sentences."
    file = out/"llms.txt"
    if not file.is_file(): return ["llms.txt is not in the site"]
    base = re.search(r"^  site-url: \"(.*)\"", (root/"nbs/nbdev.yml").read_text(), re.M).group(1)
    named = {m for m in re.findall(r"\]\(" + re.escape(base) + r"/([^)]*)\.md\)", file.read_text(encoding="utf-8"))}
    there = {p.relative_to(out).as_posix() for p in out.rglob("*.html")}
    return [f"llms.txt: {name} is only on one side" for name in sorted(named ^ there)]

def main(keep=None):
    os.chdir(root)
    with tempfile.TemporaryDirectory() as tmp:
        site = Path(keep or tmp)/"site"
        shutil.rmtree(site, ignore_errors=True)
        strip_numbers(process(), site)
        docs = str(Path(sys.executable).parent/"smalldocs")
        r = subprocess.run([docs, "render", str(site)], capture_output=True, text=True)
        if r.returncode: sys.exit(r.stdout + r.stderr)
        r = subprocess.run([docs, "check", str(site)], capture_output=True, text=True)
        said = r.stdout + r.stderr
        broken = [l for l in said.splitlines() if re.search(r"broken (link|image)", l, re.I)]
        pages = {p.relative_to(site).as_posix() for p in site.rglob("*.ipynb")}
        out = next((d for d in (site/"_docs", site/"_site", site.parent/"_docs") if d.is_dir()), site)
        html = {p.relative_to(out).as_posix() for p in out.rglob("*.html")}
        missing = [p for p in pages if p[:-6] + ".html" not in html]
        broken += broken_anchors(out) + unlisted_by_models(out)
        for l in broken: print(l)
        if missing: print("no page for:", ", ".join(sorted(missing)))
        side = (site/"sidebar.yml").read_text()
        unlisted = [p for p in pages if Path(p).name not in side and p != "index.ipynb"]
        if unlisted: print("not in the sidebar:", ", ".join(sorted(unlisted)))
        print(f"site: {len(pages)} notebooks, {len(html)} pages, {len(broken)} broken links")
        return int(bool(broken or missing or unlisted or not html))

if __name__ == "__main__": sys.exit(main(*sys.argv[sys.argv.index("--keep") + 1:][:1]) if "--keep" in sys.argv else main())
