"""What moves which key: the import closures of the circuit experiment, read from a copy of the sources."""

import ast
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pkv_interp.records import code
from pkv_interp.records.code import canonical, closure, code_hash

ROOT = Path(__file__).parents[2]
MEASURE = ("experiments.circuit.measure", "pkv_interp.run.session")
SUMMARY = ("experiments.circuit.summary", "pkv_interp.run.scoring")


def text(source: str) -> str:
    return canonical(ast.parse(source))


def test_comments_docstrings_and_layout_mean_nothing() -> None:
    plain = "def f(a, b=2):\n    return a + b\n"
    told = '"""Module."""\n\ndef f(\n    a,\n    b=2,  # why\n):\n    """What."""\n    return a + b\n'
    assert text(plain) == text(told)


@pytest.mark.parametrize(
    "changed",
    [
        "def f(a, b=3):\n    return a + b\n",
        "def f(a, b=2):\n    return a - b\n",
        "def f(a, b=2):\n    'x'\n    'y'\n    return a + b\n",
        "def g(a, b=2):\n    return a + b\n",
        "def f(a, *, b=2):\n    return a + b\n",
    ],
)
def test_what_python_would_run_differently_counts(changed: str) -> None:
    assert text(changed) != text("def f(a, b=2):\n    return a + b\n")


def test_a_string_that_is_no_docstring_counts() -> None:
    assert text("x = 'a'") != text("x = 'b'")
    assert text("x = 1") != text("x = '1'")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Both packages copied, and the closure read from the copy."""
    for package in code.PACKAGES:
        keep = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=keep)
    forget()
    monkeypatch.setattr(code, "_folder_of", lambda package: tmp_path / package)
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (code._file_of, code.closure, code.code_hash):
        cached.cache_clear()


def moved(change: Callable[[], object]) -> tuple[bool, bool]:
    """Whether a change moves the measuring code and the summary's."""
    before = code_hash(MEASURE), code_hash(SUMMARY)
    change()
    forget()
    return code_hash(MEASURE) != before[0], code_hash(SUMMARY) != before[1]


def appended(path: Path, line: str) -> Callable[[], object]:
    return lambda: path.write_text(path.read_text() + line)


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("experiments/circuit/summary.py", "# a comment\n", (False, False)),
        ("experiments/circuit/summary.py", "X = 1\n", (False, True)),
        ("pkv_interp/stats/bootstrap.py", "X = 1\n", (False, True)),
        ("pkv_interp/run/scoring.py", "X = 1\n", (False, True)),
        ("pkv_interp/engine/packed.py", "# a comment\n", (False, False)),
        ("pkv_interp/engine/packed.py", "X = 1\n", (True, True)),
        ("experiments/circuit/settings.py", "X = 1\n", (True, True)),
        ("pkv_interp/streams.py", "X = 1\n", (True, True)),
        ("experiments/circuit/figures.py", "X = 1\n", (False, False)),
        ("pkv_interp/plots/theme.py", "X = 1\n", (False, False)),
        ("experiments/patching/summary.py", "X = 1\n", (False, False)),
    ],
)
def test_a_change_moves_the_keys_that_it_can_reach(
    file: str, line: str, expected: tuple[bool, bool], sources: Path
) -> None:
    assert moved(appended(sources / file, line)) == expected


def test_registered_methods_and_scenario_tables_are_reached(sources: Path) -> None:
    editing = ("experiments.editing.measure",)
    before = code_hash(editing)
    method = sources / "pkv_interp/editing/methods/erratum.py"
    method.write_text(method.read_text() + "X = 1\n")
    forget()
    assert code_hash(editing) != before
    before = code_hash(MEASURE)
    (table,) = sources.glob("pkv_interp/tasks/**/scenarios.yaml")
    table.write_text(table.read_text() + "\n# one more line\n")
    forget()
    assert code_hash(MEASURE) != before


def test_a_new_import_is_followed(sources: Path) -> None:
    (sources / "pkv_interp/measure/fresh.py").write_text("X = 1\n")
    site = sources / "experiments/circuit/sites.py"
    assert moved(appended(site, "import pkv_interp.measure.fresh\n")) == (True, True)
    assert "pkv_interp.measure.fresh" in closure(MEASURE)


def test_a_source_is_parsed_once_however_many_roots_reach_it(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, parsed = ast.parse, list[str]()
    assert moved(lambda: None) == (False, False)
    appended(sources / "pkv_interp/engine/packed.py", "ONCE = 1\n")()
    forget()
    monkeypatch.setattr(ast, "parse", lambda text: parsed.append(text) or real(text))
    assert moved(lambda: None) == (False, False)
    assert [text.endswith("ONCE = 1\n") for text in parsed] == [True]


def test_measuring_reaches_no_statistics_records_or_figures() -> None:
    rooms = ("pkv_interp.records", "pkv_interp.stats", "pkv_interp.plots", "pkv_interp.run.scoring")
    assert [name for name in closure(MEASURE) if name.startswith(rooms)] == []
