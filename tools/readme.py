"""README.md is nbs/index.ipynb as Markdown.

    python tools/readme.py                  write it
    python tools/readme.py --check          exit 1 where it is out of date
    python tools/readme.py --test-command   print the command with which the README says to test
"""
import json, re, sys
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parents[1]

def setting(key):
    cfg = ConfigParser(delimiters=["="])
    cfg.read(root/"settings.ini", encoding="utf-8")
    return cfg["DEFAULT"][key]

def fence(lang, text): return f"```{lang}\n{text.rstrip()}\n```"

def outputs(cell):
    "Text outputs of a cell, fenced; a stream as it was printed, a result by its plain form."
    for o in cell.get("outputs", []):
        text = o.get("text") or o.get("data", {}).get("text/plain", "")
        if text: yield fence("", "".join(text))

def blocks(nb):
    "Markdown of every cell that is not hidden: prose as it stands, code fenced."
    for c in nb["cells"]:
        src = "".join(c["source"])
        if c["cell_type"] == "markdown": yield src.strip()
        elif c["cell_type"] == "code" and src.strip() and not re.match(r"#\|\s*hide\b", src):
            yield fence("python", re.sub(r"^#\|.*\n", "", src, flags=re.M))
            yield from outputs(c)

def readme():
    nb = json.loads((root/"nbs/index.ipynb").read_text(encoding="utf-8"))
    head = "<!-- Written from nbs/index.ipynb by tools/readme.py: edit that, then run it. -->"
    text = "\n\n".join([head, *blocks(nb)]) + "\n"
    # what index.ipynb finds beside itself lies under nbs/ for the README; files of the repository lie beside the README
    text = re.sub(r"\]\((?!\w+:|#)([^)]+)\)", r"](nbs/\1)", text)
    return text.replace(f"]({setting('git_url')}/blob/{setting('branch')}/", "](")

def test_command():
    found = re.findall(r"^pip install .*pytest.*$", (root/"README.md").read_text(encoding="utf-8"), re.M)
    assert len(found) == 1, f"README.md must hold one line that installs and tests, found {found}"
    return found[0]

def main(args):
    if "--test-command" in args: return print(test_command())
    file, text = root/"README.md", readme()
    if "--check" not in args: file.write_text(text, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != text: sys.exit("README.md is out of date: python tools/readme.py")

if __name__ == "__main__": main(sys.argv[1:])
