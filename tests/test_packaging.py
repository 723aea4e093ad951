"""What is imported when, who may import whom, and what a wheel holds."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Lowest first: a folder imports only from those before it, and from itself.
LAYERS = {
    "priors": "lcpfn.priors",
    "lcpfn": "lcpfn",
    "integrations": "lcpfn.integrations",
    "experiments": "experiments",
    "tests": "tests",
}
ORDER = list(LAYERS)
# The floors inside lcpfn, lowest first: a module imports only from lower ones, and from its own
# package. Modules of one floor do not know each other.
FLOORS: list[set[str]] = [
    {"errors", "atomic", "numbers"},
    {"extras"},
    {"network"},
    {"forecast"},
    {"weight_files"},
    {"peer_weights"},
    {"evaluation", "mcmc", "weights"},
    {"training", "search", "logs"},
    {"watching"},
    {"report"},
    {"cli"},
]
FORECAST = """
import lcpfn
post = lcpfn.load().extrapolate([0.31, 0.52, 0.58, 0.63], horizon=50)
low, high = post.quantile([0.06, 0.94])[:, -1]
assert 0.5 < low < high < 1, (low, high)
import lcpfn.integrations
print(lcpfn.__file__, lcpfn.integrations.__file__, sep="\\n")
"""


def run(code: str, cwd: Path = ROOT, **environment: str) -> str:
    """What Python code prints in a fresh interpreter."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


UNWANTED = "{'optuna', 'ray', 'pymc', 'matplotlib', 'pandas', 'typer', 'rich', 'torch'}"


def test_import_is_light():
    code = f"import sys, lcpfn; print(sorted({UNWANTED} & set(sys.modules)))"
    assert run(code).strip() == "[]"


def test_forecast_does_not_import_optional_packages():
    code = f"import sys{FORECAST}\nprint(sorted({UNWANTED} & set(sys.modules)))"
    assert run(code).splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["extrapolate", "--help"],
        ["should-stop", "--help"],
        ["watch", "--help"],
        ["report", "--help"],
        ["train", "--help"],
    ],
    ids=" ".join,
)
def test_help_does_not_import_torch(arguments: list[str]):
    code = (
        "import sys\n"
        "from lcpfn.cli import main\n"
        f"sys.argv = ['lcpfn', *{arguments!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as leaving:\n    assert not leaving.code, leaving.code\n"
        "print()\nprint('torch' in sys.modules)"
    )
    *shown, torch_imported = run(code, COLUMNS="100").splitlines()
    assert any("Usage" in line for line in shown)
    assert torch_imported == "False"


def test_console_script_answers():
    script = Path(sys.executable).with_name("lcpfn")
    result = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(
        name in result.stdout for name in ("extrapolate", "should-stop", "watch", "train", "info")
    )


def sources() -> list[Path]:
    return sorted(path for folder in ORDER for path in (ROOT / folder).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, wherever in it; `from a import b` gives a.b."""
    folder, *inner = path.relative_to(ROOT).with_suffix("").parts
    package = [*LAYERS[folder].split("."), *inner[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str | None:
    """The folder that a module of ours lies in; None for anybody else's."""
    owners = [
        (len(package), folder)
        for folder, package in LAYERS.items()
        if module == package or module.startswith(package + ".")
    ]
    return max(owners)[1] if owners else None


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path):
    own = path.relative_to(ROOT).parts[0]
    for module in imported_modules(path):
        layer = layer_of(module)
        assert layer is None or ORDER.index(layer) <= ORDER.index(own), (
            f"{own}/ imports {module}, which lies in {layer}/, above it"
        )


def floor_of(part: str) -> int:
    """The floor on which a module or package directly inside lcpfn lies."""
    (floor,) = (number for number, parts in enumerate(FLOORS) if part in parts)
    return floor


def core_part(path: Path) -> str:
    """The module or package directly inside lcpfn that a file belongs to."""
    return path.relative_to(ROOT / "lcpfn").with_suffix("").parts[0]


def imported_files(path: Path) -> set[Path]:
    """The files of the core that a file imports, wherever in it."""
    found = set()
    for module in imported_modules(path):
        if layer_of(module) != "lcpfn":
            continue
        parts = module.split(".")[1:]
        for end in range(len(parts), -1, -1):
            base = (ROOT / "lcpfn").joinpath(*parts[:end])
            file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
            if file.is_file():
                found.add(file)
                break
    return found


CORE = sorted((ROOT / "lcpfn").rglob("*.py"))


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_inside_the_core_point_downwards(path: Path):
    facade = ROOT / "lcpfn" / "__init__.py"
    if path == facade:
        return
    own = core_part(path)
    for file in imported_files(path) - {path}:
        if file == facade:
            # What users import is for those above everything.
            assert own == "cli", f"{own} imports lcpfn itself, which lies above it"
            continue
        part = core_part(file)
        assert part == own or floor_of(part) < floor_of(own), f"{own} imports {part}, not below it"


def test_no_circle_of_imports():
    # What is imported for type checking alone counts, too: a circle in the mind is one in the code.
    after = {path: imported_files(path) - {path} for path in CORE}
    facade = ROOT / "lcpfn" / "__init__.py"
    after.pop(facade)
    left = {path: files - {facade} for path, files in after.items()}
    while free := [path for path, files in left.items() if not files & left.keys()]:
        for path in free:
            del left[path]
    assert not left, "a circle among " + ", ".join(str(path.relative_to(ROOT)) for path in left)


# Typer takes a command's options from its signature; these two are the public interface.
MANY_ARGUMENTS = {"extrapolate", "extrapolate_batch"}


@pytest.mark.parametrize("folder", ["priors", "lcpfn", "integrations"])
def test_signatures_are_short(folder: str):
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / folder).rglob("*.py")
        if ROOT / "lcpfn" / "cli" not in path.parents
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name not in MANY_ARGUMENTS
        if len([a for a in arguments_of(node) if a not in ("self", "cls")]) > 8
    ]
    assert not long, "more than 8 arguments: what belongs together is a value"


def arguments_of(node: ast.FunctionDef) -> list[str]:
    listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [argument.arg for argument in listed]


def third_party(folder: str) -> set[str]:
    """Top-level packages that a folder's files import, ours and the standard library's aside."""
    modules = {
        module
        for path in (ROOT / folder).rglob("*.py")
        for module in imported_modules(path)
        if layer_of(module) is None
    }
    return {module.partition(".")[0] for module in modules} - sys.stdlib_module_names


def test_priors_need_only_numpy_and_torch():
    assert third_party("priors") <= {"numpy", "torch"}


def test_core_knows_no_framework():
    trainers = {"keras", "lightgbm", "lightning", "transformers", "xgboost"}
    assert not third_party("lcpfn") & {"optuna", "ray", *trainers}


def test_dependencies_are_declared():
    declared = {
        re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")
        for requirement in requires("lcpfn-stopping") or []
    }
    distributions = packages_distributions()
    for module in third_party("priors") | third_party("lcpfn") | third_party("integrations"):
        names = {name.lower().replace("_", "-") for name in distributions.get(module, [module])}
        assert names & declared, f"{module} is imported, but pyproject.toml declares no {names}"


def test_layer_rule_sees_through_folder_mapping(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "priors" / "sub" / "module.py"
    file.parent.mkdir(parents=True)
    file.write_text("def f():\n    from ... import model\n    from ..base import Prior\n")
    modules = list(imported_modules(file))
    assert modules == ["lcpfn.model", "lcpfn.priors.base.Prior"]
    assert [layer_of(module) for module in modules] == ["lcpfn", "priors"]
    assert layer_of("lcpfn.integrations.optuna") == "integrations"
    assert layer_of("lcpfn_other") is None


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of what a source distribution needs."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("lcpfn", "priors", "integrations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target]
    result = subprocess.run(
        [*command, source], cwd=target, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = target.glob("*.whl")
    return built


def test_wheel_is_complete(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata_name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(metadata_name).decode())
        (scripts,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "lcpfn = lcpfn.cli:main" in archive.read(scripts).decode()
    expected = {
        f"{LAYERS[folder].replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder in ("priors", "lcpfn", "integrations")
        for path in (ROOT / folder).rglob("*.py")
        # A package for others to download, not a part of this one.
        if ROOT / "integrations" / "optunahub" not in path.parents
    }
    assert expected <= names
    assert not [name for name in names if "optunahub" in name]
    assert "lcpfn/py.typed" in names
    weights = {name for name in names if name.endswith(".safetensors")}
    assert weights
    assert all(name.startswith("lcpfn/bundled/") for name in weights)
    assert {name.replace(".safetensors", ".json") for name in weights} <= names
    assert not [name for name in names if name.startswith(("tests/", "experiments/", "runs/"))]
    assert metadata["Name"] == "lcpfn-stopping"
    assert metadata["License-Expression"] == "Apache-2.0"
    needed = {
        re.split(r"[^\w.-]", each)[0]
        for each in metadata.get_all("Requires-Dist", [])
        if "extra" not in each
    }
    assert needed == {"numpy", "rich", "safetensors", "typer"}
    trainers = {"keras", "lightgbm", "lightning", "transformers", "xgboost"}
    known = {"train", "optuna", "ray", "mcmc", "plot", "logs", "all", "dev", *trainers}
    assert known <= set(metadata.get_all("Provides-Extra", []))


def test_wheel_works_elsewhere(wheel: Path, tmp_path: Path):
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*command, "--target", installed, wheel], check=True, cwd=elsewhere)
    code = f"from lcpfn.priors import ReferencePrior{FORECAST}"
    core, integrations = run(code, cwd=elsewhere, PYTHONPATH=str(installed)).splitlines()
    assert Path(core) == installed / "lcpfn" / "__init__.py"
    assert Path(integrations) == installed / "lcpfn" / "integrations" / "__init__.py"
