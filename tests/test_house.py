"""What holds for the whole house: light import, one-way rooms, one version, clean notebooks, the
torchvision trap."""
import ast, json, os, re, shutil, subprocess, sys, sysconfig, venv
from configparser import ConfigParser
from pathlib import Path
import pytest

root = Path(__file__).resolve().parents[1]
notebooks = sorted(p for p in (root/"nbs").rglob("*.ipynb")
                   if not any(o.startswith(("_", ".")) for o in p.relative_to(root).parts))
rel = lambda p: p.relative_to(root).as_posix()

def cells(p, kind="code"):
    for c in json.loads(p.read_text(encoding="utf-8"))["cells"]:
        if c["cell_type"] == kind: yield c, "".join(c["source"])

def python(code, exe=sys.executable, **kw):
    return subprocess.run([str(exe), "-c", code], capture_output=True, text=True, timeout=300, **kw)

# -- light import

def seconds(cmd, cwd, n=5):
    """Processor seconds of a command, the least of n runs: on an idle machine that is its wall time, on
    a busy one it is still the command's own."""
    best = 9e9
    for _ in range(n):
        p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, cwd=cwd)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        assert p.returncode == 0
        best = min(best, used.ru_utime + used.ru_stime)
        if best < .4: break
    return best

@pytest.mark.parametrize("what", ["import semvideo", "import semvideo.cli"])
def test_import_is_light(what, tmp_path):
    r = python(
        f"import sys; {what}; print(sorted({{m.split('.')[0] for m in sys.modules}} "
        f"& {{'torch', 'diffusers', 'transformers', 'torchvision', 'nilearn'}}))", cwd=tmp_path)
    assert r.stdout.strip() == "[]", r.stdout + r.stderr
    assert seconds([sys.executable, "-c", what], tmp_path) < .5

def test_help_is_light(tmp_path):
    exe = shutil.which("semvideo", path=str(Path(sys.executable).parent))
    cmd = [exe] if exe else [sys.executable, "-c", "from semvideo.cli import main; main()"]
    code = "import sys; sys.argv = ['semvideo', '--help']\nimport semvideo.cli as c\ntry: c.main()\nexcept SystemExit: pass\nassert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    r = python(code, cwd=tmp_path)
    assert r.returncode == 0 and "demo" in r.stdout, r.stderr
    assert seconds(cmd + ["--help"], tmp_path) < .5

# -- rooms

def room_of():
    "{module name: notebook} from each notebook's default_exp."
    out = {}
    for p in notebooks:
        for _, s in cells(p):
            if m := re.match(r"#\|\s*default_exp\s+(\S+)", s): out[m.group(1)] = p
    return out

def imported_rooms(src):
    try: tree = ast.parse(re.sub(r"^\s*[%!].*$", "", src, flags=re.M))
    except SyntaxError: return
    for n in ast.walk(tree):
        if isinstance(n, ast.ImportFrom) and n.module and n.module.split(".")[0] == "semvideo":
            yield from [n.module.split(".", 1)[1]] if "." in n.module else [a.name for a in n.names]
        if isinstance(n, ast.Import):
            yield from (a.name.split(".", 1)[1] for a in n.names if a.name.startswith("semvideo."))

@pytest.mark.parametrize("nb", notebooks, ids=rel)
def test_imports_only_from_lower_rooms(nb):
    rooms = room_of()
    mine = next((m for m, p in rooms.items() if p == nb), None)
    if mine is None: pytest.skip("a page, not a room")
    for _, src in cells(nb):
        for r in imported_rooms(src):
            if r == mine or r not in rooms: continue
            assert rooms[r].name < nb.name, f"{rel(nb)} imports upwards from {rooms[r].name}"

def test_the_upward_check_can_fail():
    assert list(
        imported_rooms("from semvideo.cli import main\nimport semvideo.core as c\nfrom semvideo "
                       "import fmri")) == ["cli", "core", "fmri"]

@pytest.mark.parametrize("nb", notebooks, ids=rel)
def test_import_cells_hold_only_imports(nb):
    """The docs build runs every cell that holds an import: anything else in such a cell would run there
    too, without its context."""
    if nb.name == "index.ipynb" or "tutorials" in nb.parts:
        pytest.skip("a page, not a room")
    for _, src in cells(nb):
        if "nbdev_export(" in src: continue
        try: body = ast.parse(re.sub(r"^\s*[%!].*$", "", src, flags=re.M)).body
        except SyntaxError: continue
        imports = [isinstance(n, (ast.Import, ast.ImportFrom)) for n in body]
        assert all(imports) or not any(
            imports), f"{rel(nb)}: imports and other code in one cell:\n{src[:300]}"

@pytest.mark.parametrize("nb", notebooks, ids=rel)
def test_exported_cells_are_small(nb):
    sizes = [
        len([l
             for l in s.splitlines()
             if l.strip() and not l.startswith("#|")])
        for _, s in cells(nb)
        if re.match(r"#\|\s*exports?\b", s) and not re.search(r"^(import|from) ", s, re.M)
    ]
    if sizes:
        assert max(sizes) <= 60, f"{rel(nb)}: an exported cell of {max(sizes)} lines"

# -- notebooks as committed

MACHINE_PATH = re.compile(
    r"""(?:^|[\s"'(=\[])(/(?:work|home|root|tmp|usr|opt|Users|var|mnt|data)/[\w./-]+)""")

def texts(o):
    yield from ("".join(v) if isinstance(v, list) else v
                for k, v in o.get("data", {}).items()
                if not k.startswith("image/") and isinstance(v, (str, list)))
    yield "".join(o.get("text", []))

@pytest.mark.parametrize("nb", notebooks, ids=rel)
def test_outputs_are_ready_to_publish(nb):
    assert nb.stat().st_size < 2 << 20, f"{rel(nb)} is {nb.stat().st_size >> 10} KB"
    for c, src in cells(nb):
        for o in c.get("outputs", []):
            assert o[
                "output_type"] != "error", f"{rel(nb)}: a stored output is an error:\n{src[:200]}"
            for t in texts(o):
                t = re.sub(r"[A-Za-z0-9+/=\n]{200,}", "", t)
                assert not (m := MACHINE_PATH.search(t)
                            ), f"{rel(nb)}: an output holds a machine's path: {m.group(1)}"

def test_the_path_check_can_fail():
    assert MACHINE_PATH.search(
        "saved to /home/me/study") and not MACHINE_PATH.search("study/frames and 1/2")

def test_notebooks_clean_and_exports_in_sync():
    if shutil.which("git") is None or not (root/".git").exists():
        pytest.skip("not a clone")
    r = subprocess.run([sys.executable, "tools/nb.py", "check"], cwd=root, capture_output=True,
                       text=True, timeout=300)
    assert r.returncode == 0, r.stdout + r.stderr[-3000:]

def test_readme_is_index():
    r = subprocess.run([sys.executable, "tools/readme.py", "--check"], cwd=root,
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr

def test_one_quarto_file():
    assert os.path.samefile(root/"_quarto.yml", root/"nbs/_quarto.yml")

# -- one source of the version

def test_version_is_single_sourced():
    cfg = ConfigParser(delimiters=["="])
    cfg.read(root/"settings.ini", encoding="utf-8")
    v = cfg["DEFAULT"]["version"]
    import semvideo
    assert semvideo.__version__ == v
    said = subprocess.run([sys.executable, "setup.py", "--version"], cwd=root, capture_output=True,
                          text=True).stdout.split()
    assert said and said[-1] == v
    assert re.search(rf"^version: {re.escape(v)}$", (root/"CITATION.cff").read_text(), re.M)
    assert f"## {v}" in (root/"CHANGELOG.md").read_text()
    assert v not in (root/"setup.py").read_text()

# -- the torchvision trap

TRAP = "operator torchvision::nms does not exist"

def bare_venv(path):
    """A venv that borrows this environment's packages through a .pth; returns (python, its own
    site-packages, which comes first)."""
    venv.create(path, with_pip=False, symlinks=True)
    site = next(Path(path).glob("lib/python*/site-packages"))
    (site/"borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (site/"checkout.pth").write_text(f"{root}\n")
    return Path(path)/"bin/python", site

@pytest.fixture(scope="session")
def broken(tmp_path_factory):
    """A venv where `import torchvision` really fails: the installed torchvision without its compiled
    operators, as beside a torch it was not built for."""
    import importlib.util
    spec = importlib.util.find_spec("torchvision")
    if spec is None: pytest.skip("torchvision is not installed")
    exe, site = bare_venv(tmp_path_factory.mktemp("broken")/"venv")
    shutil.copytree(
        Path(spec.origin).parent, site/"torchvision",
        ignore=shutil.ignore_patterns("_C*.so", "image*.so", "_C*.pyd", "__pycache__"))
    r = python("import torchvision", exe)
    assert r.returncode and TRAP in r.stderr, f"the trap is not set: {r.stderr[-500:]}"
    return exe

def test_trap_breaks_what_we_need(broken):
    "Without the remedy the pipeline cannot be imported: this is what the remedy is for."
    r = python("from diffusers import AnimateDiffPipeline", broken)
    assert r.returncode, "diffusers no longer needs the remedy"

def test_trap_is_sprung(broken):
    r = python(
        "from semvideo.core import ensure_torchvision\n"
        "assert ensure_torchvision() == 'repaired' and ensure_torchvision() == 'repaired'\n"
        "from diffusers import AnimateDiffPipeline, AnimateDiffVideoToVideoPipeline\n"
        "import torchvision.transforms as T, torchmetrics, timm, open_clip\n"
        "assert open_clip.create_model('ViT-S-32-alt', pretrained=None).visual\nprint('fine')", broken)
    assert r.stdout.strip().endswith("fine"), r.stderr[-3000:]

def test_healthy_install_is_untouched(tmp_path):
    """Where `import torchvision` works nothing is declared: an installed torchvision if it is healthy,
    else a package of that name that imports."""
    exe, site = bare_venv(tmp_path/"venv")
    if python("import torchvision", exe).returncode:
        (site/"torchvision").mkdir()
        (site/"torchvision/__init__.py").write_text("ok = True\n")
    r = python(
        "import torchvision; before = torchvision\nfrom semvideo.core import ensure_torchvision\nimport "
        "torch, sys\nhad = hasattr(torch.ops.torchvision, 'qnms')\n"
        "assert ensure_torchvision() == 'healthy' and sys.modules['torchvision'] "
        "is before and hasattr(torch.ops.torchvision, 'qnms') == had\nprint('fine')", exe)
    assert r.stdout.strip() == "fine", r.stderr[-2000:]

def test_absent_torchvision_is_said():
    r = python(
        "import sys; sys.modules['torchvision'] = None\nfrom semvideo.core import "
        "ensure_torchvision\nprint(ensure_torchvision())", cwd=root)
    assert r.stdout.strip() == "absent", r.stderr[-2000:]

def test_another_failure_is_not_hidden(tmp_path):
    "Only exactly that error is repaired."
    (tmp_path/"torchvision").mkdir()
    (tmp_path/"torchvision/__init__.py").write_text("raise RuntimeError('something else')\n")
    r = python(f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]\nfrom semvideo.core "
               f"import ensure_torchvision\nensure_torchvision()")
    assert r.returncode and "something else" in r.stderr

LOADS_MODELS = re.compile(r"^\s*(?:from|import) (?:transformers|diffusers|open_clip|torchmetrics|lpips|timm|torchvision)\b", re.M)
SPRINGS = re.compile(r"^\s*ensure_torchvision\(\)", re.M)

def unsprung(sources):
    "Rooms that load models and neither spring the trap nor import a room that does. sources: {room: text}"
    imports = {}
    for room, text in sources.items():
        rooms = set(re.findall(r"from (?:semvideo)?\.(\w+) import", text))
        for names in re.findall(r"from (?:semvideo|\.) import (.*)", text): rooms |= set(names.split(", "))
        imports[room] = rooms & set(sources)
    sprung = {room for room, text in sources.items() if SPRINGS.search(text)}
    while more := {room for room, rooms in imports.items() if rooms & sprung} - sprung: sprung |= more
    return [room for room, text in sources.items() if LOADS_MODELS.search(text) and room not in sprung]

def test_rooms_that_load_models_spring_the_trap():
    """Notebooks are tested in processes forked from one that has loaded models already (`tests/preload.py`): that
    each room springs the trap itself is read in its text."""
    wrong = dict(a="from .b import *", b="import numpy", c="def f():\n    from transformers import CLIPModel\n    from .a import x")
    assert unsprung(wrong) == ["c"] and unsprung(dict(wrong, b="ensure_torchvision()")) == []
    sources = {p.stem: p.read_text() for p in (root/"semvideo").glob("*.py") if not p.stem.startswith("_")}
    assert unsprung(sources) == []

# -- the tests themselves

def test_a_file_of_tests_stays_in_one_process(tmp_path):
    """Two processes, as the README starts them: fixtures that take minutes must not be made twice.
    Every test says which process it ran in."""
    pytest.importorskip("xdist")
    (tmp_path/"tests").mkdir()
    shutil.copy(root/"tests/conftest.py", tmp_path/"tests/conftest.py")
    shutil.copy(root/"pytest.ini", tmp_path/"pytest.ini")
    body = "import os, time, pytest\n@pytest.mark.parametrize('i', range(6))\ndef test(i): time.sleep(.05); open(os.environ['SAID'], 'a').write(__name__ + ' ' + os.environ['PYTEST_XDIST_WORKER'] + '\\n')\n"
    for name in "abc": (tmp_path/f"tests/test_{name}.py").write_text(body)
    env = dict(os.environ, SAID=str(tmp_path/"said"), PYTHONPATH=str(root))
    env.pop("PYTEST_XDIST_WORKER", None)
    env.pop("PYTEST_ADDOPTS", None)
    r = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "2", "tests"], cwd=tmp_path,
                       env=env, capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stdout + r.stderr
    ran = {}
    for line in (tmp_path/"said").read_text().splitlines():
        m, w = line.split()
        ran.setdefault(m, []).append(w)
    assert {m: len(w) for m, w in ran.items()} == {f"test_{m}": 6 for m in "abc"}
    assert all(len(set(w)) == 1 for w in ran.values()) and len({w[0]
                                                                for w in ran.values()}) == 2, ran

# -- the house


def test_the_map_and_the_sidebar_are_what_the_notebooks_say():
    r = subprocess.run([sys.executable, "tools/house_map.py", "--check"], cwd=root, capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


def test_every_room_says_its_one_idea_and_doors_hold_all_of_their_rooms():
    sys.path.insert(0, str(root/"tools"))
    import house_map
    rooms = house_map.rooms()
    assert len({room.name for room in rooms}) == len({room.number for room in rooms}) == len(rooms)
    for room in rooms:
        assert room.title and room.idea, room.file.name
        if not room.door: continue
        import importlib
        door = importlib.import_module(f"semvideo.{room.name}")
        for name in door.__all__: assert hasattr(door, name), (room.name, name)


def private_across_rooms(source):
    "Names with an underscore that a source takes from another room."
    tree, rooms = ast.parse(source), set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.level or (node.module or "").startswith("semvideo")): continue
        for alias in node.names:
            if alias.name.startswith("_") and not alias.name.startswith("__"): yield alias.name
            if node.module in (None, "semvideo"): rooms.add(alias.asname or alias.name)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name): continue
        if node.value.id in rooms and node.attr.startswith("_") and not node.attr.startswith("__"): yield node.attr


def test_no_private_name_crosses_rooms():
    assert list(private_across_rooms("from .sad import _config\nfrom . import fmri\nfmri._bare(1)")) == ["_config", "_bare"]
    for path in (root/"semvideo").glob("*.py"):
        if path.name != "_modidx.py": assert not list(private_across_rooms(path.read_text())), path.name


def defined(source):
    "Public names a source defines itself."
    for node in ast.parse(source).body:
        patched = any(getattr(d, "id", getattr(getattr(d, "func", None), "id", "")) == "patch" for d in getattr(node, "decorator_list", []))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not patched: yield node.name
        if isinstance(node, ast.Assign): yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def test_one_name_has_one_meaning():
    first = {}
    for path in sorted((root/"semvideo").glob("*.py")):
        if path.name.startswith("_"): continue
        for name in set(defined(path.read_text())):
            if name.startswith("_"): continue
            assert name not in first, f"{name} in {first[name]} and {path.name}"
            first[name] = path.name


def test_lines_can_be_read():
    "What is exported: nine lines of ten within 100 columns, none over 140; outer limits for any one are ruff's."
    for path in notebooks:
        lines = [l for _, src in cells(path) if re.match(r"#\|\s*export\b", src) for l in src.splitlines() if l.strip()]
        long = [l for l in lines if len(l) > 100]
        assert len(long) <= max(2, .1*len(lines)) and not [l for l in lines if len(l) > 140], (rel(path), long[:3])


def hints(source):
    "What a source's public functions and methods say of types: how many parameters, and with a hint; returns, and with a hint; what has none."
    def functions(body, within=""):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"): yield from functions(node.body, node.name)
            if not isinstance(node, ast.FunctionDef): continue
            if not node.name.startswith("_") or node.name in ("__init__", "__call__"): yield within, node
    parameters, returns, bare = [], [], []
    for within, node in functions(ast.parse(source).body):
        marks = {getattr(d, "id", getattr(getattr(d, "func", None), "id", "")) for d in node.decorator_list}
        args = node.args.posonlyargs + node.args.args
        if "patch" in marks or (within and "staticmethod" not in marks): args = args[1:] # self
        told = [a.annotation is not None for a in args + node.args.kwonlyargs]
        parameters += told
        if node.name != "__init__": returns.append(node.returns is not None)
        if not all(told) or (node.name != "__init__" and node.returns is None): bare.append(node.name)
    return parameters, returns, bare


def test_public_functions_say_their_types():
    one = "def f(a, b: int = 1) -> int: return a\nclass C:\n    def __init__(self, x): pass\n    def g(self): pass\n    def _h(self, y): pass"
    assert hints(one) == ([False, True, False], [True, False], ["f", "__init__", "g"])
    parameters, returns, bare = [], [], {}
    for path in sorted((root/"semvideo").glob("*.py")):
        if path.name.startswith("_"): continue
        p, r, names = hints(path.read_text())
        parameters, returns = parameters + p, returns + r
        if names: bare[path.stem] = names
    assert sum(parameters) >= .97*len(parameters) and sum(returns) >= .97*len(returns), bare


def taken(source):
    "What a source takes from the package: modules, and names of them."
    modules, names, short = set(), set(), {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "semvideo": continue
        if "." in node.module:
            modules.add(node.module.split(".")[1])
            names.update(alias.name for alias in node.names)
        else: short.update({alias.asname or alias.name: alias.name for alias in node.names})
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in short: names.add(node.attr)
    return modules | set(short.values()), names


def public(module):
    "What a module defines for others."
    for node in ast.parse((root/f"semvideo/{module}.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__": return set(ast.literal_eval(node.value))
    return set()


def test_every_room_has_its_tests():
    """A room's tests stand in a file that is named after it, names it in its first line, or takes something of it; a file
    names only rooms that are there."""
    assert taken("from semvideo import fmri as f, video\nfrom semvideo.core import Study\nf.clean_run(1)") == (
        {"fmri", "video", "core"}, {"Study", "clean_run"})
    texts = {p.stem: p.read_text() for p in (root/"tests").glob("test_*.py") if p.stem not in ("test_house", "test_names")}
    uses = {file: taken(text) for file, text in texts.items()}
    named = {file: set(re.findall(r"\b\d{3}_[a-z_0-9]+", ast.get_docstring(ast.parse(text)) or "")) for file, text in texts.items()}
    rooms = {path.stem: module for module, path in room_of().items()}
    assert set().union(*named.values()) <= set(rooms), set().union(*named.values()) - set(rooms)
    for room, module in rooms.items():
        own = public(module)
        found = [f for f in texts if f == f"test_{module}" or room in named[f] or module in uses[f][0] or own & uses[f][1]]
        assert found, f"{room} has no tests"
