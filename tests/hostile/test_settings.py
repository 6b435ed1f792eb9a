"""Settings of every experiment given what a stranger might give them: one line, at once, and no model."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from experiments.circuit.settings import CircuitSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.run.arguments import checked_arguments
from pkv_interp.run.command import command
from pkv_interp.run.machine import check_threads
from pkv_interp.run.settings import CommandSettings, checked
from tests.experiments.configs import commands, compose, schema_of
from tests.runs import ROOT

SCHEMAS = {name: schema_of(name) for name in commands()}
KEYS = sorted((name, key) for name, schema in SCHEMAS.items() for key in schema.model_fields)
MODEL = load_catalogue_entry("tiny-llama")
NASTY = (
    *(None, True, False, -1, 0, 2**31, 2**32, 2**64, -(2**64), 10**30, 0.5, -0.5, 1e-300, 1e300, 1.5),
    *(math.nan, math.inf, -math.inf, "", " ", "null", "nan", "1", "zwölf", "\u202e", "a\nb", "a\0b", "a\tb"),
    *("x" * 5000, "~", "~nobody-of-this-name/x", "/etc/passwd/x", "/dev/zero", "/" + "y" * 300, "\ud800"),
    *([], {}, [[]], [None], [math.nan], [1, 1], [2, 1], ["a", "a"], [True], [-1], [""], list(range(1000))),
    *({"a": 1}, {"": ""}, {"orders": ["a", "a"]}, {"orders": "ab"}, {1: 2}, [{"steps": -1}], [{"lr": [1]}]),
    *((), set(), b"bytes", object(), 1 + 2j, Path("/etc/passwd")),
)


def refusal(schema: type[BaseModel], values: dict[str, Any]) -> str | None:
    """The one line that refuses these values, None where they are taken."""
    try:
        checked(schema, values)
    except PkvError as error:
        return str(error)
    return None


def leaves(schema: dict[str, Any], definitions: dict[str, Any], at: str) -> Iterator[tuple[str, dict]]:
    """Every part of a JSON schema that a value has to fit, with its place."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    yield at, schema
    for key, inner in schema.get("properties", {}).items():
        yield from leaves(inner, definitions, f"{at}.{key}")
    for name in ("anyOf", "prefixItems"):
        for inner in schema.get(name, ()):
            yield from leaves(inner, definitions, at)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from leaves(schema[name], definitions, f"{at}[]")


@pytest.mark.parametrize("name", commands())
def test_every_number_and_every_list_has_both_bounds(name: str) -> None:
    """T3, T4: also of keys that are added later."""
    document = SCHEMAS[name].model_json_schema()
    without = []
    for place, leaf in leaves(document, document.get("$defs", {}), name):
        kind = leaf.get("type")
        if kind in ("integer", "number"):
            low = "minimum" in leaf or "exclusiveMinimum" in leaf
            if not (low and ("maximum" in leaf or "exclusiveMaximum" in leaf)):
                without.append(place)
        if kind == "array" and "maxItems" not in leaf:
            without.append(place)
    assert without == []


VALUES = st.one_of(
    st.sampled_from(NASTY),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.none()), max_size=4),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@settings(max_examples=400, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(KEYS), VALUES)
@example(("circuit", "competence_threshold"), 5)
@example(("circuit", "threads"), 100_000)
def test_whatever_a_key_is_given_is_taken_or_refused_in_one_line(place: tuple[str, str], value: Any) -> None:
    name, key = place
    # Known and open: a user's own file (run/data_file.py) with a name longer than a file system takes ends in
    # an OSError. Its module is part of every measurement key, so it is mended when these move anyway.
    assume(not (key in ("scenarios", "pairs") and isinstance(value, str) and len(value) > 255))
    schema = SCHEMAS[name]
    given_values = {key: value} if key == "model" or "model" not in schema.model_fields else {"model": MODEL}
    line = refusal(schema, given_values | {key: value})
    if line is not None:
        assert "\n" not in line
        assert len(line) < 400
    else:
        taken = getattr(checked(schema, given_values | {key: value}), key)
        assert not isinstance(taken, float) or math.isfinite(taken)
        assert isinstance(taken, bool) == isinstance(value, bool)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, True, "1", [], {}, "a\nb", 2**64, None])
def test_no_number_takes_what_is_no_number(value: Any) -> None:
    """Each count, share and seed of every experiment, by its own key."""
    taken = []
    for name, key in KEYS:
        asked = SCHEMAS[name].model_fields[key]
        default = asked.default
        plain_number = isinstance(default, int | float) and not isinstance(default, bool) and key != "threads"
        if value is None and type(None) in get_args(asked.annotation):
            continue  # null is a word of its own there: all that there are
        if plain_number and refusal(SCHEMAS[name], {key: value}) is None:
            taken.append((name, key))
    assert taken == []


@pytest.mark.parametrize("key", sorted(set(ModelConfig.model_fields) - {"source"}))
@pytest.mark.parametrize("value", [math.nan, -1, 2**40, "a\nb", "\x1b[31m", [], "x" * 5000])
def test_a_models_keys_are_bounded_as_well(key: str, value: Any) -> None:
    line = refusal(CircuitSettings, {"model": MODEL.model_dump() | {key: value}})
    assert line is not None
    assert "\n" not in line
    assert key in line


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"instances": 0}, "'instances'=0"),
        ({"n_filers": 1}, "unknown config key 'n_filers'; did you mean 'n_fillers'?"),
        ({"discovery": ["alertz"]}, "did you mean 'alerts'?"),
        ({"discovery": ["documents"]}, "of the other split"),
        ({"values": {"orderz": ["a", "b"]}}, "did you mean 'orders'?"),
        ({"values": {"orders": ["a", "a"]}}, "are the same"),
        ({"layout": "standart"}, "did you mean 'standard'?"),
        ({"scenarios": "/dev/zero"}, "is no file"),
        ({"results_dir": "/etc/passwd/x"}, "/etc/passwd is a file"),
        ({"results_dir": "/etc/passwd"}, "/etc/passwd is a file"),
        ({"results_dir": ""}, "give a path"),
        ({"chat": 1}, "valid boolean"),
        ({"seed": True}, "valid integer"),
        ({"seed": 2**32}, "4294967295"),
    ],
)
def test_the_line_says_what_is_wrong(values: dict[str, Any], cause: str) -> None:
    """T3, T11 and a family's name with one letter wrong."""
    line = refusal(CircuitSettings, values)
    assert line is not None
    assert cause in line
    assert len(line) <= 200


@pytest.mark.parametrize(
    ("name", "values", "cause"),
    [
        ("controls", {"sae_active": 1100}, "more than the 1024 of sae_features"),
        ("controls", {"sae_top": [1100]}, "more than the 1024 of sae_features"),
        ("blast_radius", {"effect_fillers": [7]}, "which fillers does not"),
        ("composing", {"suffix": 300}, "room for a chunk"),
        ("editing", {"methods": ["field_onyl"]}, "did you mean 'field_only'?"),
        ("editing", {"places": ["early", "early"]}, "names something twice"),
        ("editing", {"methods": ["recompute"]}, "write recompute@8"),
    ],
)
def test_keys_that_do_not_go_together(name: str, values: dict[str, Any], cause: str) -> None:
    line = refusal(SCHEMAS[name], values)
    assert line is not None
    assert cause in line


def test_more_than_there_is_stands_in_the_record() -> None:
    few: dict[str, Any] = {"discovery": ["orders"], "instances": 1, "write_sweeps": 4}
    assert checked(CircuitSettings, few).remarks() == (
        "write_sweeps=4, and there are 1 discovery cases: all are taken",
    )
    assert CircuitSettings().remarks() == ()


def test_a_folder_begins_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """T11: in Python and on the command line, in quotes or not."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checked(CircuitSettings, {"results_dir": "~/res"}).results_dir == tmp_path / "res"
    (argument,) = checked_arguments(CircuitSettings, ["results_dir=~/res"])
    assert compose("circuit", argument).results_dir == tmp_path / "res"


def test_more_threads_than_the_machine_could_serve() -> None:
    """T4: torch would hang."""
    check_threads(os.cpu_count())
    with pytest.raises(PkvError, match="threads=1000, but this machine has"):
        check_threads(1000)


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("results_dir=out/a,b", """quote the value: 'results_dir="out/a,b"'"""),
        ("results_dir=out/a=b", """quote it: 'results_dir="out/a=b"'"""),
        ("results_dir=out/a(b", """quote it: 'results_dir="out/a(b"'"""),
        ("results_dir=out/ü", """quote it: 'results_dir="out/ü"'"""),
        ('results_dir=out/"', 'quote it: \'results_dir="out/\\\\""\''.replace("\\\\", "\\")),
        ("results_dir=out/<x>;", "quote it"),
        ("seed", "'seed' is no key=value"),
        ("--seed=3", "there is no option --seed=3; write seed=3"),
        ("n_filers=3", "did you mean 'n_fillers'?"),
        ("+n_filers=3", "did you mean 'n_fillers'?"),
        ("model.sed=3", "did you mean 'model.seed'"),
        ("seed.x=3", "'seed' has no keys inside"),
        ("model=tiny-lama", "did you mean 'tiny-llama'"),
        ("model=null", "unknown model 'null'"),
        ("seed=1,2", "add --multirun"),
    ],
)
def test_a_command_line_that_cannot_be_read_says_how_to_write_it(argument: str, cause: str) -> None:
    """T12."""
    with pytest.raises(PkvError) as caught:
        checked_arguments(CircuitSettings, [argument])
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "no viable" not in str(caught.value)


def test_keys_inside_need_no_plus() -> None:
    """T12: nobody has to know which keys the model's file leaves out."""
    arguments = checked_arguments(
        CircuitSettings, ["model=tiny-llama", "model.seed=3", "values.orders=[a,b]"]
    )
    found = compose("circuit", *arguments)
    assert isinstance(found, CircuitSettings)
    assert (found.model.seed, found.values) == (3, {"orders": ("a", "b")})


def run_line(monkeypatch: pytest.MonkeyPatch, done: list[int], *arguments: str) -> object:
    """The exit code of a command line in this process; seed 1 is a traceback."""

    def act(found: CircuitSettings) -> None:
        if found.seed == 1:
            raise ValueError("a bug")
        done.append(found.seed)

    monkeypatch.setattr(sys, "argv", ["experiments.circuit", *arguments])
    with pytest.raises(SystemExit) as caught:
        command("circuit", CircuitSettings, act)()
    return caught.value.code


def test_a_run_that_fails_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """T16: bad input and a bug alike; the end says which, and the exit code that something did."""
    done: list[int] = []
    sweep = ["--multirun", f'hydra.sweep.dir="{tmp_path}"']
    assert run_line(monkeypatch, done, *sweep, "seed=-1,0,1,2", "instances=1") == 2
    assert done == [0, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: 2 of 4 runs failed: ")
    assert "seed=-1" in lines[-1]
    assert "seed=1" in lines[-1]
    assert lines[0].startswith("error: config key 'seed'=-1")


@pytest.mark.parametrize(
    ("module", "argument"),
    [("circuit", "competence_threshold=5"), ("editing", "methods=[field_onyl]"), ("figures", "scale=-1")],
)
def test_the_real_command_line_refuses_before_torch_is_imported(module: str, argument: str) -> None:
    """T3: exit code 2, one line, in a few seconds on any machine."""
    begun = time.monotonic()
    line = [sys.executable, "-X", "importtime", "-m", f"experiments.{module}", argument]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    took = time.monotonic() - begun
    told = [one for one in done.stderr.splitlines() if not one.startswith("import time:")]
    assert done.returncode == 2
    assert len(told) == 1
    assert told[0].startswith("error: ")
    imported = {one.rpartition("|")[2].strip() for one in done.stderr.splitlines()}
    assert imported.isdisjoint({"torch", "transformers", "nnsight", "pandas", "plotly"})
    assert took < 30, "it should take one second; the bound is for busy machines"


def test_every_command_shares_the_checks() -> None:
    assert all(issubclass(schema, CommandSettings) for schema in SCHEMAS.values())
