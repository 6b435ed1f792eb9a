"""The patching experiment through its real command line, and its summary on numbers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments._patching_cases import Item, anchors, build_items
from experiments._patching_measures import Ranking, make_rankings
from experiments._patching_summary import summarise
from experiments.figures import FIGURES
from experiments.patching import PatchingSettings
from pkv_interp.errors import PkvError
from pkv_interp.figures import NOT_COMPETENT
from pkv_interp.records import Competence, RunRecord, RunStore, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.stats import Estimate, mean
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny


@pytest.fixture(scope="module")
def record(patching_results: Path) -> RunRecord:
    (found,) = load_records(patching_results)
    return found


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = record.tables[name]  # type: ignore[assignment]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def test_the_record_is_valid_and_its_controls_have_passed(patching_results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(patching_results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["full_downstream"] == pytest.approx(1.0, abs=1e-3)
    assert {"self_patch", "full_patch", "batched_equals_single", "packed_equals_sequential"} <= set(controls)
    assert {"margin", "self_patch", "same_conclusion_field", "same_conclusion_both"} <= set(
        record.noise_floor
    )
    assert not (patching_results / ".partial").exists()


def test_random_weights_fail_the_gate_and_claim_nothing(record: RunRecord) -> None:
    assert record.competence is not None
    assert not record.competence.passed
    assert set(record.headline) == {"competence"}
    (setup,) = lines(record, "cot_setup")
    assert setup["competent"] is False
    assert (setup["decoding"], setup["most_tokens"], setup["n"]) == ("greedy", 4, 1)


def test_identities_hold_in_the_tables(record: RunRecord) -> None:
    states = {line["arm"]: line["value"] for line in lines(record, "states")}
    assert [states["stale"], states["full_downstream"], states["oracle"]] == pytest.approx(
        [0, 1, 1], abs=1e-3
    )
    for curve in ("suffix", "prefix"):
        (whole,) = lines(record, "share_curve", curve=curve, share=1.0)
        assert whole["value"] == pytest.approx(states["notes_only"], abs=1e-3)
    (hidden,) = lines(record, "knockout_spans", knockout="field and notes")
    assert hidden["value"] == pytest.approx(0.0, abs=1e-3)
    whole = [line["value"] for line in lines(record, "knockout_shares", share=1.0)]
    (notes,) = lines(record, "knockout_spans", knockout="notes")
    assert whole == pytest.approx([notes["value"]] * 3, abs=1e-3)
    # All positions together, the last entry of the rank curve, are the notes.
    assert lines(record, "rank_curve")[-1]["value"] == pytest.approx(states["notes_only"], abs=1e-3)
    stale, *_, oracle = lines(record, "cot")
    assert (stale["recovery"], oracle["recovery"]) == (0.0, 1.0)


def test_tables_follow_from_the_settings(record: RunRecord) -> None:
    assert [line["k"] for line in lines(record, "k_curve", curve="top")] == [1, 4, 8]
    assert {line["part"] for line in lines(record, "grid_cost")} == {"V", "KV"}
    layers = len(lines(record, "layers", part="K"))
    for line in lines(record, "grid_cost"):
        assert line["rows"] % layers == 0
        assert line["seconds"] > 0
    example = lines(record, "grid_example")
    assert len(example) == layers
    assert {len(line["recovery"]) for line in example} == {len(example[0]["tokens"])}
    assert [(line["what"], line["amount"]) for line in lines(record, "dose", arm="notes_only")] == [
        ("fillers", 0), ("fillers", 2), ("rules", 1), ("rules", 2),
    ]  # fmt: skip
    assert all(0 <= line["p_holm"] <= 1 for line in lines(record, "equivalence"))
    assert all(0 < line["p_adjusted"] <= 1 for line in lines(record, "positions"))
    assert {row.split for row in record.rows} == {"held_out"}
    assert len({row.instance for row in record.rows}) == 3


@pytest.mark.parametrize("name", FIGURES["patching"])
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES["patching"][name](record)
    assert NOT_COMPETENT in figure.layout.title.text
    assert record.model_name in figure.layout.title.subtitle.text
    assert len(figure.data) > 0


def test_the_heatmap_holds_every_cell(record: RunRecord) -> None:
    figure: Any = FIGURES["patching"]["grid"](record)
    cells = np.asarray(figure.data[0].z)
    assert cells.tolist() == [line["recovery"] for line in lines(record, "grid_example")]
    (first,) = lines(record, "grid_example", layer=0)
    assert len(figure.layout.xaxis.ticktext) == cells.shape[1] == len(first["tokens"])
    assert [trace.name for trace in figure.data[1:]] == list(dict.fromkeys(first["kinds"]))
    # The strip below covers every word once, in runs of one kind.
    spans = [range(round(s.x0 + 0.45), round(s.x1 + 0.55)) for s in figure.layout.shapes]
    assert [i for span in spans for i in span] == list(range(len(first["tokens"])))
    colours = {trace.name: trace.marker.color for trace in figure.data[1:]}
    for shape, span in zip(figure.layout.shapes, spans, strict=True):
        assert {shape.line.color} == {colours[first["kinds"][i]] for i in span}


def overridden(argument: str) -> list[str]:
    return [*[a for a in runs.PATCHING if a.split("=")[0] != argument.split("=")[0]], argument]


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    argument = "families=[orders,nobody]"
    done = runs.run("experiments.patching", *overridden(argument), f"results_dir={tmp_path}")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "unknown scenario family 'nobody'" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("families=[orders]", "name at least two families"),
        ("top_k=[4,1]", "in rising order"),
        ("shares=[0.0,1.0]", "greater than 0"),
        ("grid_parts=[Q]", "grid_parts"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        compose("patching", *overridden(argument))


@pytest.fixture
def settings() -> PatchingSettings:
    made = compose(
        "patching", *[a for a in runs.PATCHING if not a.startswith(("instances", "families"))], "instances=2"
    )
    assert isinstance(made, PatchingSettings)
    return made


def test_both_sides_share_families_and_wordings_but_no_instance(settings: PatchingSettings) -> None:
    items = build_items(settings, tiny("llama").tokenizer)
    ranked, scored = ([item.case for item in items[side]] for side in ("discovery", "held_out"))
    assert [(c.family, c.wording) for c in ranked] == [(c.family, c.wording) for c in scored]
    assert not {c.instance for c in ranked} & {c.instance for c in scored}
    assert len({c.wording for c in scored}) == 4
    assert {c.split for c in scored} == {"held_out"}
    for ours, theirs in zip(ranked, scored, strict=True):
        known = set(anchors(ours))
        assert sum(a in known for a in anchors(theirs)) > 0.85 * len(anchors(theirs))


def test_a_ranking_is_of_its_own_family(settings: PatchingSettings) -> None:
    cases = [item.case for item in build_items(settings, tiny("llama").tokenizer)["discovery"]][:4]
    found = [
        {"clean": 1.0, "corrupt": -1.0, "positions": np.full(n, -1.0 + i), "attention": np.ones(n)}
        for i, n in enumerate(len(anchors(c)) for c in cases)
    ]
    rankings = make_rankings(cases, found)
    assert list(rankings) == [cases[0].family, cases[2].family]
    ranking: Ranking = rankings[cases[2].family]
    # Effects of 2 and 3 over gaps of 2: places of both instances have the ratio of means, others their own.
    assert ranking.effect["decision.0-1"] == pytest.approx((2 + 3) / 4)
    assert {round(v, 6) for v in ranking.effect.values()} == {1.0, 1.25, 1.5}


def chunk(item: Item, rng: np.random.Generator) -> dict[str, Any]:
    """A scored instance of a made-up model: ten note positions carry a tenth each, and the field nothing."""
    n, layers = len(anchors(item.case)), 3
    jitter = float(rng.normal(0, 1e-3))
    clean, corrupt = 3.0 + jitter, -3.0
    gap = clean - corrupt
    single = np.full(n, corrupt)
    single[:10] += gap / 10
    spans = {"notes": (0.1, -0.1), "field": (clean, corrupt), "field and notes": (0.0, 0.0)}
    shares = {f"{o}@{s:g}": (1.5, -1.5) for o in ("effect", "attention", "random0") for s in (0.5, 1.0)}
    hidden = spans | shares
    masses = {"sink": 0.5, "field": 0.01, "notes": 0.4, "itself": 0.09}
    dose = {"clean": clean, "corrupt": corrupt, "tokens": 100, "field_only": corrupt, "notes_only": clean}
    return {
        "clean": clean,
        "corrupt": corrupt,
        "states": {"field_only": corrupt + 0.06 + jitter, "notes_only": clean - 0.06, "full_patch": clean},
        "twin": {"field": corrupt + 0.03, "notes": corrupt - 0.6, "both": corrupt + 0.6},
        "positions": dict.fromkeys(("K", "V", "KV"), single),
        "layers": dict.fromkeys(("K", "V", "KV"), np.array([corrupt, corrupt + gap / 2 + jitter, clean])),
        "thirds": {"early": corrupt + jitter, "middle": 0.0, "late": clean},
        "cumulative": corrupt + gap * np.minimum(np.arange(1, n + 1) / 10, 1.0),
        "suffix": np.array([corrupt, 0.0, clean]),
        "prefix": np.array([corrupt, corrupt + jitter, clean]),
        "known_anchors": 1.0,
        "random_region": np.full((3, 2), corrupt + 0.15 * gap),
        "matched_region": [1.0] * 3,
        "random_token_kind": np.full((3, 2), corrupt),
        "matched_token_kind": [1.0] * 3,
        "knockouts": {s: {k: v[i] for k, v in hidden.items()} for i, s in enumerate(("clean", "corrupt"))},
        "attention": {name: [mass] * layers for name, mass in masses.items()},
        "V": np.full((layers, n), corrupt),
        "KV": np.tile(single, (layers, 1)),
        "seconds_V": 1.0,
        "seconds_KV": 1.0,
        "tokens": len(item.case.clean),
        **dict.fromkeys(("fillers=0", "fillers=2", "rules=1", "rules=2"), dose),
    }


@pytest.fixture
def summary(settings: PatchingSettings, tmp_path: Path) -> RunRecord:
    items = build_items(settings, tiny("llama").tokenizer)
    rng = np.random.default_rng(0)
    scored = [chunk(item, rng) for item in items["held_out"]]
    ranked = [
        {**chunk(item, rng), "positions": chunk(item, rng)["positions"]["KV"]} for item in items["discovery"]
    ]
    cases = {side: [item.case for item in found] for side, found in items.items()}
    config = settings.model_dump(mode="json")
    with RunStore(tmp_path).open(
        experiment="patching", model=config.pop("model"), config=config, seed=0
    ) as run:
        run.set_model(
            {"revision": None, "weight_sha256": "0" * 64, "dtype": "float32", "random_weights": False}
        )
        run.noise_floor["margin"] = 1e-3
        right = mean(np.ones(len(scored)), [c.family for c in cases["held_out"]])
        run.competence = Competence(accuracy=right, threshold=0.8, passed=True)
        run.headline["competence"] = right
        summarise(
            run,
            settings,
            (cases["discovery"], ranked),
            (cases["held_out"], scored),
            (cases["held_out"][:4:2], scored[:4:2]),
            (cases["held_out"], scored),
            ([], []),
        )
    return run.record


def test_the_headline_has_its_known_answers(summary: RunRecord) -> None:
    values = {name: estimate.value for name, estimate in summary.headline.items()}
    assert values == {
        "competence": 1.0,
        "field_only": pytest.approx(0.01, abs=1e-3),
        "notes_only": pytest.approx(0.99, abs=1e-3),
        "full_downstream": pytest.approx(1.0),
        "top8": pytest.approx(0.8),
        "random8": pytest.approx(0.15),
        "k90": 9.0,
        "knockout_downstream": pytest.approx(0.2 / 6, abs=1e-3),
        "knockout_field": pytest.approx(1.0),
        "field_attention": pytest.approx(0.01),
        "notes_attention": pytest.approx(0.4),
    }
    assert {e.n_families for e in summary.headline.values()} == {16}
    (line,) = lines(summary, "k90")
    assert (line["pooled_curve"], line["never_reached"]) == (9, 0.0)
    assert [line["value"] for line in lines(summary, "rank_curve")][:10] == pytest.approx(
        np.arange(1, 11) / 10
    )


def test_claims_are_held_against_the_measured_floor(summary: RunRecord) -> None:
    assert summary.noise_floor["same_conclusion_both"] == pytest.approx(0.1, abs=1e-3)
    assert summary.noise_floor["same_conclusion_field"] == pytest.approx(0.005, abs=1e-3)
    verdicts = {
        (line["claim"], line["floor_of"]): line["equivalent"] for line in lines(summary, "equivalence")
    }
    wide, narrow = "same_conclusion_both", "same_conclusion_field"
    assert verdicts["field_only is about 0", wide]
    assert not verdicts["field_only is about 0", narrow]  # 0.01 is within 0.1, and not within 0.005
    assert verdicts["notes_only is about 1", wide]
    assert verdicts["gap with the field knocked out is about 1", wide]
    assert verdicts["notes, early layers is about 0", wide]
    assert not verdicts["notes, late layers is about 0", wide]
    assert not verdicts["top8 is about 1", wide]
    assert not verdicts["random8 is about 0", wide]


def test_sites_are_tested_together(summary: RunRecord) -> None:
    p = {line["layer"]: line["p_adjusted"] for line in lines(summary, "layers", part="KV")}
    assert p[0] == 1.0
    assert max(p[1], p[2]) < 0.01
    for line in lines(summary, "grid_regions", part="V"):
        assert (line["value"], line["p_adjusted"]) == (pytest.approx(0.0), 1.0)
    kinds = {line["kind"]: line["value"] for line in lines(summary, "token_kinds")}
    assert sum(kinds.values()) == pytest.approx(1.0)  # ten positions with a tenth each
    assert kinds["conversation"] == pytest.approx(0.0)


def test_published_figures_of_this_experiment_are_whole() -> None:
    frame = published(experiment="patching")
    assert frame["id"].is_unique
    assert {"field_only", "full_downstream", "top8", "random8"} <= set(frame["headline"])
    top = published("top8", experiment="patching")
    assert top.loc[top["id"] == "DC0016", "value"].tolist() == [0.78]
    assert Estimate(value=0.0, n_families=1, n_instances=1).ci_low is None
