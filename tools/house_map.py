"""The house drawn from its imports: chapters, rooms, which room stands on which; the site's sidebar, and its list of pages for language models.

    python tools/house_map.py           write nbs/images/house.svg, nbs/sidebar.yml and nbs/llms.txt
    python tools/house_map.py --check   are they what the notebooks say? changes nothing
"""
import ast
import json
import re
import sys
from configparser import ConfigParser
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

root = Path(__file__).resolve().parents[1]
picture, sidebar, llms = root/"nbs/images/house.svg", root/"nbs/sidebar.yml", root/"nbs/llms.txt"
CHAPTERS = {0: "Ground", 1: "Data", 2: "SemMiner", 3: "Targets and decoders", 4: "Render", 5: "Evaluation", 6: "Brain", 7: "Face"}


@dataclass
class Room:
    "A notebook that exports a module."
    file: Path
    number: int
    name: str
    title: str
    idea: str
    needs: set = field(default_factory=set) # names of rooms it imports from
    lines: int = 0

    @property
    def chapter(self): return self.number//100

    @property
    def door(self): return self.lines and not self.code

    code: int = 0 # exported lines that are no imports and no list of names


def cells(path):
    "Kind and source of every cell."
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield cell["cell_type"], "".join(cell["source"])


def exported(path):
    "Sources of the exported cells."
    return [src for kind, src in cells(path) if kind == "code" and re.match(r"#\|\s*export\b", src)]


def imports(source):
    "Names of rooms that a source imports from, also inside functions."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "semvideo":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("semvideo."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("semvideo."))


def is_code(node):
    "Is a statement more than an import or a list of names?"
    if isinstance(node, (ast.Import, ast.ImportFrom)): return False
    return not (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_all_")


def rooms():
    "Every room of the house, by number."
    out = []
    for path in sorted((root/"nbs").glob("[0-9]*_*.ipynb")):
        text = list(cells(path))
        exp = next((m for _, src in text if (m := re.search(r"#\|\s*default_exp\s+(\S+)", src))), None)
        if not exp: continue
        head = text[0][1]
        title = re.search(r"^# (.+)", head, re.M)
        idea = re.search(r"^> (.+)", head, re.M)
        number = int(re.match(r"\d+", path.name).group())
        room = Room(path, number, exp.group(1), title.group(1) if title else "", idea.group(1) if idea else "")
        for src in exported(path):
            room.needs |= set(imports(src))
            room.lines += len(src.splitlines())
            room.code += sum(map(is_code, ast.parse(src).body))
        out.append(room)
    names = {r.name for r in out}
    for room in out: room.needs &= names - {room.name}
    return out


def table():
    "Markdown: one row a room."
    rows, all_rooms = ["| room | its one idea | stands on |", "|---|---|---|"], rooms()
    for chapter, title in CHAPTERS.items():
        here = [r for r in all_rooms if r.chapter == chapter]
        if here: rows.append(f"| **{chapter} {title}** | | |")
        for r in here:
            rows.append(f"| [{r.name}](../{r.file.name}) | {r.idea} | {', '.join(sorted(r.needs))} |")
    return "\n".join(rows)


WIDE, HIGH, GAP, LEFT, PER_ROW = 104, 30, 12, 170, 8


def places(all_rooms):
    "{room name: (x, y) of its box}, and where each chapter begins."
    at, begins, y = {}, {}, 20
    for chapter in CHAPTERS:
        here = [r for r in all_rooms if r.chapter == chapter]
        begins[chapter] = y
        for i, r in enumerate(here):
            at[r.name] = LEFT + (i % PER_ROW)*(WIDE + GAP), y + (i//PER_ROW)*(HIGH + GAP)
        y += max(1, -(-len(here)//PER_ROW))*(HIGH + GAP) + 26
    return at, begins, y


def svg():
    "The map: boxes by chapter, a line from each room up to those it stands on."
    all_rooms = rooms()
    at, begins, height = places(all_rooms)
    width = LEFT + PER_ROW*(WIDE + GAP) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for room in all_rooms:
        x, y = at[room.name]
        for need in sorted(room.needs):
            nx, ny = at[need]
            out.append(f'<path d="M{x + WIDE/2:g} {y} C{x + WIDE/2:g} {y - 22} {nx + WIDE/2:g} {ny + HIGH + 22} '
                       f'{nx + WIDE/2:g} {ny + HIGH}" fill="none" stroke="#5b7fa6" stroke-opacity=".28"/>')
    for chapter, title in CHAPTERS.items():
        out.append(f'<text x="12" y="{begins[chapter] + 20}" font-size="14" font-weight="bold" fill="#333">'
                   f'{chapter} {escape(title)}</text>')
    for room in all_rooms:
        x, y = at[room.name]
        fill = "#eef3e2" if room.door else "#e3edf7"
        size = 11 if len(room.name) > 13 else 13
        out.append(f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="5" fill="{fill}" stroke="#5b7fa6"/>'
                   f'<text x="{x + WIDE/2:g}" y="{y + 20}" font-size="{size}" text-anchor="middle" fill="#222">'
                   f'{escape(room.name)}<title>{escape(room.idea)}</title></text>')
    return "\n".join([*out, "</svg>"]) + "\n"


FIRST = ("gallery", "differences", "glossary") # pages of the site before the rooms, in this order


# in the order in which one would read them; any other follows
READ_FIRST = ("first_reconstruction", "your_own_movie", "cc2017_step_by_step", "score_your_own", "trust_card", "new_subject", "exchanging_a_part",
              "where_to_add", "study_to_paper_figure", "many_machines", "what_if", "ten_years", "calibration", "parity", "libraries", "house")


def tutorials():
    "Files of the tutorials in that order."
    place = {name: i for i, name in enumerate(READ_FIRST)}
    return sorted((root/"nbs/tutorials").glob("*.ipynb"), key=lambda p: (place.get(p.stem, len(place)), p.stem))


def menu():
    "The sidebar of the site: pages to begin with, the tutorials, then a part a chapter."
    out = ["website:", "  sidebar:", "    contents:", "      - index.ipynb"]
    out += [f"      - {name}.ipynb" for name in FIRST]
    pages = tutorials()
    out += ["      - section: Tutorials", "        contents:"] + [f"          - tutorials/{p.name}" for p in pages]
    all_rooms = rooms()
    for chapter, title in CHAPTERS.items():
        out += [f'      - section: "{chapter} {title}"', "        contents:"]
        out += [f"          - {room.file.name}" for room in all_rooms if room.chapter == chapter]
    return "\n".join(out) + "\n"


def head(path):
    "Title and subtitle of a page."
    text = next(src for kind, src in cells(path) if kind == "markdown" and src.startswith("# "))
    idea = re.search(r"^> (.*)$", text, re.M)
    return re.match(r"# (.*)", text).group(1).strip(), idea.group(1).strip() if idea else ""


def address(path):
    "Where the site has a page as Markdown: numbers of rooms are left out, as nbdev does."
    settings = ConfigParser(delimiters=["="])
    settings.read(root/"settings.ini", encoding="utf-8")
    base = settings["DEFAULT"]["doc_host"] + settings["DEFAULT"]["doc_baseurl"]
    page = path.relative_to(root/"nbs")
    return f"{base}/{page.with_name(re.sub(r'^[0-9]+_', '', page.stem)).as_posix()}.html.md"


def for_models():
    "The site's pages with what each is about, for language models (llmstxt.org)."
    def line(path):
        title, idea = head(path)
        return f"- [{title}]({address(path)})" + (f": {idea}" if idea else "")
    title, idea = head(root/"nbs/index.ipynb")
    out = [f"# {title}", "", f"> {idea}", "",
           "Each page is a notebook. Those of the chapters are rooms: a module of the Python package `semvideo` with its explanation, examples and tests. "
           "Any page is HTML at the same address without `.md`.", "", "## Begin here", "", line(root/"nbs/index.ipynb")]
    out += [line(root/f"nbs/{name}.ipynb") for name in FIRST]
    out += ["", "## Tutorials", ""] + [line(p) for p in tutorials()]
    all_rooms = rooms()
    for chapter, name in CHAPTERS.items():
        out += ["", f"## {chapter} {name}", ""] + [line(r.file) for r in all_rooms if r.chapter == chapter]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    for path, new in ((picture, svg()), (sidebar, menu()), (llms, for_models())):
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        if "--check" not in sys.argv: path.write_text(new, encoding="utf-8")
        elif old != new:
            lines = sorted(set(old.splitlines()) ^ set(new.splitlines()))
            sys.exit(f"{path.relative_to(root)} is old: python tools/house_map.py\n" + "\n".join(lines[:5]))
    print("the map, the sidebar and llms.txt are what the notebooks say")
