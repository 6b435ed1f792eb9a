"""The choice of a layout, as a record has it: who has a say, what is left out, what is named the best."""

from copy import copy
from pathlib import Path
from typing import Any

import pytest

from experiments import find
from experiments.figures.rooms import draw
from experiments.layouts.cases import build_cases
from experiments.layouts.measure import Measured
from experiments.layouts.settings import LayoutsSettings
from experiments.layouts.summary import summarise
from experiments.layouts.tables import Choice, FamilyLine, LayoutLine
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.layout_choice import LayoutPair, layout_pairs
from pkv_interp.records import load_records
from pkv_interp.records.tables import rows_of
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage
from pkv_interp.tasks import DISCOVERY, Style
from pkv_interp.tasks.scenarios import code_layouts
from tests.families import tiny


@pytest.fixture(scope="module")
def record(small_results: Any) -> Any:
    (found,) = load_records(small_results("layouts"))
    return found


def test_the_record_has_every_decision_of_every_layout_as_it_is_measured_alone(record: Any) -> None:
    loaded = tiny("llama")
    names = list(dict.fromkeys(row.arm for row in record.rows))
    found = layout_pairs(Engine(loaded), loaded.tokenizer, names, seed=0, style=Style(n_fillers=0))
    alone = {(one.layout, one.family, one.kind): one for one in found if one.family in ("orders", "support")}
    assert len(alone) == len(record.rows) == 5 * 2 * 2
    for row in record.rows:
        one = alone[row.arm, row.family, row.wording]
        assert (row.clean, -row.corrupt) == pytest.approx(one.margins, abs=1e-4)
        assert (row.extra["right"], row.extra["top_right"]) == (one.right, one.top_right)
        assert row.split == "discovery"


def test_its_figure_has_a_point_for_every_family_at_the_share_of_its_table(record: Any) -> None:
    figure: Any = draw(record, "by_layout")
    bars = [trace for trace in figure.data if trace.type == "bar"]
    points = [trace for trace in figure.data if trace.type == "scatter"]
    assert [len(trace.x) for trace in (*bars, *points)] == [5, 5, 10, 10]
    lines = [line for line in rows_of(record, LayoutLine) if line.kind == "field"]
    assert list(bars[0].x) == [line.value for line in lines]
    families = [line for line in rows_of(record, FamilyLine) if line.kind == "field"]
    assert list(points[0].x) == [line.right for line in families]
    named = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True))
    for line, place in zip(lines, bars[0].y, strict=True):
        late = " (field late)" if line.order == "late" else ""
        assert named[round(place - 0.18)] == line.layout + late


def pair(layout: str, family: str, *margins: float, **changed: Any) -> LayoutPair:
    right = min(margins) > 0
    given: dict[str, Any] = {"top_right": False, "kind": "field", "order": "early"} | changed
    return LayoutPair(layout, family, 0, margins=margins, right=right, **given)


class Head:
    noise_floor: dict[str, float] = {"margin": 1e-3}


def test_the_best_of_all_and_of_each_order_are_named() -> None:
    def both(layout: str, margins: dict[str, tuple[float, float]], **changed: Any) -> list[LayoutPair]:
        return [
            pair(layout, family, *found, kind=kind, **changed)
            for family, found in margins.items()
            for kind in ("field", "polarity")
        ]

    pairs = [
        *both("poor", {"a": (1.0, -1.0), "b": (-1.0, 1.0)}),
        *both("early", {"a": (1.0, 1.0), "b": (1.0, -2.0)}),
        *both("late", {"a": (1.0, 1.0), "b": (0.5, 0.2)}, order="late"),
        *both("less_late", {"a": (-1.0, 1.0), "b": (1.0, 1.0)}, order="late"),
    ]
    measured = Measured(Stage({str(number): one for number, one in enumerate(pairs)}))
    settings = LayoutsSettings(least_right=0.6, bootstrap_draws=100)
    report = summarise(measured, Scoring(settings, Head()))  # pyright: ignore[reportArgumentType]
    chosen = {
        row.order: (row.layout, row.right, row.followed) for row in report.tables if isinstance(row, Choice)
    }
    assert chosen == {"all": ("late", 1.0, True), "late": ("late", 1.0, True), "early": ("early", 0.5, False)}
    stated = {name: figure.value for name, figure in report.stated().items()}
    assert stated == {
        "best_layout_right": 1.0,
        "best_late_right": 1.0,
        "best_early_right": 0.5,
        "best_layout_top_right": 0.0,
    }
    assert report.stated()["best_early_right"].what.endswith(": early")
    assert len(report.rows) == len(pairs)


def test_all_packaged_layouts_and_discovery_families_alone_are_run() -> None:
    cases, left_out = build_cases(LayoutsSettings(instances=1), tiny("llama").tokenizer)
    assert left_out == ()
    assert {one.layout for one in cases} >= {"standard", *(layout.name for layout in code_layouts())}
    assert {one.family for one in cases} == set(DISCOVERY)
    orders = {one.layout: one.order for one in cases}
    assert (orders["sql_view"], orders["sql_view_late"], orders["field_late"]) == ("early", "late", "late")


def test_code_in_a_chat_is_left_out_without_a_template_and_refused_where_it_is_named() -> None:
    tokenizer = copy(tiny("llama").tokenizer)
    tokenizer.chat_template = None
    chats = ("python_chat_lean", "python_chat_lean_late", "python_chat")
    cases, left_out = build_cases(LayoutsSettings(families=("orders",)), tokenizer)
    assert left_out == chats
    assert not {one.layout for one in cases} & set(chats)
    with pytest.raises(PkvError, match="'python_chat' is a chat, and smollm2-135m-gate has no chat template"):
        build_cases(LayoutsSettings(layouts=("python_chat", "yaml")), tokenizer)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"families": ["orders", "documents"]}, "'documents' is of the other split"),
        ({"layouts": ["pyton_script"]}, "unknown layout 'pyton_script'; did you mean 'python_script'"),
        ({"layouts": ["yaml", "yaml"]}, "names something twice"),
        ({"kinds": ["rule"]}, "'field' or 'polarity'"),
        ({"layout": "yaml"}, "unknown config key 'layout'; did you mean 'layouts'"),
    ],
)
def test_what_it_cannot_do_is_told_before_a_model_loads(
    changes: dict[str, Any], cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(PkvError, match=cause):
        find("layouts").run(results_dir=tmp_path, **changes)
