"""The house keeps its shape: no import circles, no arrow back up, small modules, one room for nnsight."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pkv_interp", "experiments")
#: Rooms of the library from the ground up; a room imports from rooms before it only.
FLOORS = (
    ("errors",),
    ("indices",),
    ("files", "finite", "ids", "names", "output", "paths", "plain", "streams", "tolerances"),
    ("prompts",),
    ("tasks", "pictures"),
    ("cache", "stats"),
    ("models", "audit"),
    ("interventions", "composing"),
    ("editing", "engine", "weight_editing"),
    ("reference",),
    ("measure",),
    ("agent", "memory", "planning", "training", "serving"),
    ("records",),
    ("run",),
    ("plots",),
)


@cache
def sources() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of ours that importing a module imports: top-level statements, typing-only ones left out."""
    known = sources()
    out = set()
    for node in ast.parse(known[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            out |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            out |= (names & known.keys()) or {node.module}
    return frozenset(out & known.keys() - {module})


def test_there_are_no_import_circles() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            pytest.fail(" -> ".join((*path[path.index(module) :], module)))
        if module not in done:
            for other in sorted(imports(module)):
                visit(other, (*path, module))
            done.add(module)

    for module in sources():
        visit(module, ())


def test_no_arrow_points_back_up() -> None:
    floor = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for module in sources():
        if not module.startswith("pkv_interp."):
            continue
        room = module.split(".")[1]
        for other in imports(module):
            if other.startswith("experiments"):
                wrong.append(f"{module} -> {other}")
            elif other.startswith("pkv_interp."):
                theirs = other.split(".")[1]
                if floor[theirs] > floor[room] or (floor[theirs] == floor[room] and theirs != room):
                    wrong.append(f"{module} -> {other}")
    assert wrong == []


def test_only_the_engine_knows_nnsight() -> None:
    """And one peer: nnsight as a user would take it is what the engine is compared with."""
    users = {
        module
        for module, path in sources().items()
        if "import nnsight" in path.read_text() or "from nnsight" in path.read_text()
    }
    assert {m for m in users if not m.startswith("pkv_interp.engine.")} == {
        "pkv_interp.reference.peers.traces"
    }


def test_measuring_knows_no_summary() -> None:
    late = ("summary", "tables", "figures")
    rooms = ("pkv_interp.records", "pkv_interp.plots", "pkv_interp.run.scoring", "pkv_interp.run.report")
    from pkv_interp.records.code import closure

    for path in sorted((ROOT / "experiments").glob("*/measure.py")):
        name = path.parent.name
        reached = closure((f"experiments.{name}.measure",))
        assert [m for m in reached if m.startswith(rooms)] == [], name
        assert [m for m in reached if m.rpartition(".")[2] in late] == [], name


def test_rooms_share_nothing_but_the_library() -> None:
    between = [
        f"{module} -> {other}"
        for module in sources()
        for other in imports(module)
        if module.count(".") >= 2
        and module.startswith("experiments.")
        and other.startswith("experiments.")
        and other.split(".")[1] != module.split(".")[1]
        and other.count(".") >= 2
    ]
    assert between == []


def test_no_experiment_module_is_private_and_none_is_long() -> None:
    private = [m for m in sources() if m.startswith("experiments.") and "._" in m and "__main__" not in m]
    assert private == []
    tests = {path.as_posix(): path for path in (ROOT / "tests").rglob("*.py")}
    long = [name for name, path in (sources() | tests).items() if len(path.read_text().splitlines()) > 300]
    assert long == []
