"""The controls experiment through its real command line, and its summary on numbers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments._controls_cases import build_items, build_templates, make_plan, note_labels
from experiments._controls_edits import Residuals, train_features
from experiments._controls_measures import probed_layers
from experiments._controls_summary import Measured, summarise
from experiments._controls_timing import probe
from experiments.controls import ControlsSettings
from pkv_interp.errors import PkvError
from pkv_interp.records import Competence, RunRecord, RunStore, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.stats import mean
from pkv_interp.tasks import DISCOVERY, HELD_OUT
from pkv_interp.tasks.quads import CONCLUSIONS
from pkv_interp.tasks.sites import site_labels
from tests import runs
from tests.experiments.composing import compose
from tests.families import tiny

SMALL = (
    "model=tiny-llama",
    "discovery=[orders,support]",
    "held_out=[documents,alerts]",
    "instances=2",
    "n_fillers=1",
    "top_k=[1,4]",
    "random_draws=2",
    "probe_layers=4",
    "probe_shuffles=1",
    "edit_layers=[0.5,1.0]",
    "edit_draws=2",
    "sae_features=32",
    "sae_active=4",
    "sae_steps=20",
    "sae_top=[1,3]",
    "bootstrap_draws=200",
    "threads=1",
)
HEADLINES = {
    "trigger_only", "notes_only", "write_depth", "commit_depth", "top8", "random8", "injection",
    "multi_hop_field_only", "lookup_field_only", "direction", "direction_random", "sae_auc",
    "sae_top1_clamp", "sae_top30_clamp", "scrub_same", "scrub_note", "scrub_rest", "competence",
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controls")
    done = runs.run("experiments.controls", *SMALL, f"results_dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def record(results: Path) -> RunRecord:
    (found,) = load_records(results)
    return found


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = record.tables[name]  # type: ignore[assignment]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def test_the_record_is_valid_and_its_controls_have_passed(results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["trigger_and_notes"] == pytest.approx(1.0, abs=1e-3)
    assert controls["zero_edit"] == pytest.approx(0.0, abs=1e-3)
    assert {"self_patch", "full_patch", "batched_equals_single", "packed_equals_sequential"} <= set(controls)
    assert {"margin", "self_patch", "same_conclusion_trigger_all", "same_conclusion_field_all"} <= set(
        record.noise_floor
    )
    assert not (results / ".partial").exists()


def test_random_weights_fail_the_gate_and_claim_nothing(record: RunRecord) -> None:
    assert record.competence is not None
    assert not record.competence.passed
    assert set(record.headline) == {"competence"}


def test_sites_are_chosen_and_scored_on_other_families(record: RunRecord) -> None:
    split = {row.arm: {r.family for r in record.rows if r.arm == row.arm} for row in record.rows}
    assert split["notes_only"] == {"orders", "support", "documents", "alerts"}
    for arm in ("top8", "random8", "injection_to_clean", "direction", "sae_top1_clamp", "scrub_note_clean"):
        assert split[arm] == {"documents", "alerts"}
    assert sum(line["chosen"] for line in lines(record, "edit_layers")) == 1


def test_tables_follow_from_the_settings(record: RunRecord) -> None:
    assert [line["k"] for line in lines(record, "specificity", arm="top")] == [1, 4, 8]
    assert [line["positions"] for line in lines(record, "injection")] == ["all notes", "top1", "top4", "top8"]
    assert len(lines(record, "scrubbing")) == 9
    assert len(lines(record, "templates")) == 9
    assert len(lines(record, "aggregators")) == 8
    assert [line["k"] for line in lines(record, "sae_clamps", edit="out of clean")] == [1, 3]
    arms = {line["arm"] for line in lines(record, "directions", edit="into corrupt")}
    assert arms == {"nothing", "full", "along", "across", "along_probe", "add", "add_probe", "add_random"}
    assert all(0 <= line["p_holm"] <= 1 for line in lines(record, "equivalence"))
    for table in ("aggregators", "probes"):
        assert all(0 < line["p_adjusted"] <= 1 for line in lines(record, table))


def test_identities_hold_in_the_tables(record: RunRecord) -> None:
    (last,) = lines(record, "lens")[-1:]
    assert (last["depth"], last["agrees"]) == (1.0, 1.0)
    assert lines(record, "probes")[-1]["depth"] == 1.0
    (nothing,) = lines(record, "directions", arm="nothing")
    assert nothing["value"] == pytest.approx(0.0, abs=1e-3)
    for line in lines(record, "templates", arm="full_patch"):
        assert line["value"] == pytest.approx(1.0, abs=1e-3)


def overridden(argument: str) -> list[str]:
    return [*[a for a in SMALL if a.split("=")[0] != argument.split("=")[0]], argument]


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("held_out=[orders,alerts]", "'orders' is of the other split"),
        ("discovery=[orders]", "at least two families"),
        ("discovery=[orders,nobody]", "unknown scenario family 'nobody'"),
        ("top_k=[4,1]", "in rising order"),
        ("sae_top=[]", "at least one"),
        ("edit_layers=[0.0,1.0]", "greater than 0"),
        ("instances=1", "greater than or equal to 2"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        compose("controls", *overridden(argument))


@pytest.fixture(scope="module")
def settings() -> ControlsSettings:
    # All families, two quads each.
    made = compose(
        "controls",
        *[a for a in SMALL if not a.startswith(("discovery", "held_out", "sae", "probe_layers"))],
        "sae_features=24", "sae_active=6", "sae_steps=150", "sae_top=[1,30]",
    )  # fmt: skip
    assert isinstance(made, ControlsSettings)
    return made


def test_splits_take_turns_with_wordings_and_values(settings: ControlsSettings) -> None:
    items = build_items(settings, tiny("llama").tokenizer)
    assert {i.quad.family for i in items["discovery"]} == set(DISCOVERY)
    assert {i.quad.family for i in items["held_out"]} == set(HELD_OUT)
    for side in items.values():
        assert len({i.quad.polarity.wording for i in side}) == 4
        for first, second in zip(side[::2], side[1::2], strict=True):
            assert first.quad.family == second.quad.family
            assert first.quad.values == second.quad.values[::-1]
            assert first.twin.field.clean.spans == first.quad.field.clean.spans
    assert len(build_templates(settings, tiny("llama").tokenizer)) == 3 * 16


def test_aggregators_are_ranked_single_labels(settings: ControlsSettings) -> None:
    items = build_items(settings, tiny("llama").tokenizer)
    best = "question-0"
    found = [
        {
            name: {
                "clean": 1.0,
                "corrupt": -1.0,
                "positions": np.array(
                    [1.0 if n == best else 0.9 if n == "tools" else -0.9 for n in note_labels(case)]
                ),
            }
            for name, case in (("polarity", item.quad.polarity), ("field", item.quad.field))
        }
        for item in items["discovery"]
    ]
    plan = make_plan(settings, items, found)
    assert plan.labels[0] == best
    assert len(plan.labels) == len(set(plan.labels)) == settings.n_aggregators
    assert plan.notes[best] == pytest.approx(1.0)
    assert plan.notes["tools"] > 0.5  # ranked, but at many positions of a prompt
    for item in items["held_out"]:
        named = site_labels(item.quad.polarity.clean)[item.quad.polarity.after_change :]
        assert all(named.count(label) == 1 for label in plan.labels)


def test_the_last_layer_is_always_probed(settings: ControlsSettings) -> None:
    for n_layers in (2, 3, 30, 49, 80):
        layers = probed_layers(settings, n_layers)
        assert layers[-1] == n_layers
        assert layers[0] >= 1
    assert len(probed_layers(settings.model_copy(update={"probe_layers": 24}), 80)) <= 28


LAYERS, PLACES, WIDTH = 4, 3, 16
CLEAN, CORRUPT = 3.0, -3.0
GAP = CLEAN - CORRUPT


def planted(families: list[str], fields: list[tuple[bool, ...]], splits: list[str]) -> Residuals:
    """Residuals that hold the conclusion from layer 2 on in all families alike, the field in its own way."""
    rng = np.random.default_rng(0)
    shared = 4.0 * np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0][0]
    own = {family: 0.5 * rng.normal(size=(PLACES, WIDTH)) for family in families}
    values = 0.3 * rng.normal(size=(len(families), 4, LAYERS, PLACES, WIDTH))
    for i, (family, holds) in enumerate(zip(families, fields, strict=True)):
        for cell in range(4):
            values[i, cell] += (1.0 if holds[cell] else -1.0) * own[family]
            values[i, cell, 1:] += (1.0 if CONCLUSIONS[cell] else -1.0) * shared
    return Residuals(values.astype(np.float32), range(1, LAYERS + 1), families, splits)


def chunk(settings: ControlsSettings, jitter: float) -> dict[str, Any]:
    """What was measured on a quad of a made-up model."""
    clean = CLEAN + jitter
    gap = clean - CORRUPT
    sizes, draws = len(settings.sizes), settings.random_draws
    ends = {"clean": clean, "corrupt": CORRUPT}
    twin = {"field": CORRUPT + 0.03, "notes": CORRUPT - 0.6, "both": CORRUPT + 0.6}
    states = {"notes_only": clean - 0.06, "full_patch": clean}
    shifts = {
        "same": {"note": 0.01, "rest": 0.0, "all": 0.02},
        "same_other_values": {"note": -0.03, "rest": 0.1, "all": 0.1},
        "other": {"note": 0.8, "rest": 0.3, "all": 1.0},
    }
    scrub = {
        side: {d: {w: start + sign * s * gap for w, s in mine.items()} for d, mine in shifts.items()}
        for side, start, sign in (("clean", clean, -1.0), ("corrupt", CORRUPT, 1.0))
    }
    sign = np.where(CONCLUSIONS, 1.0, -1.0)
    return {
        "polarity": {
            **ends,
            "states": {"trigger_only": CORRUPT + 0.06 + jitter, **states},
            "twin": twin,
            "sites": np.array([CORRUPT + 0.5 * gap + jitter, CORRUPT + jitter, CORRUPT - jitter]),
            "scrub": scrub,
        },
        "field": {
            **ends,
            "states": {"field_only": CORRUPT, **states},
            "twin": twin,
            "random": np.full((sizes, draws), CORRUPT + 0.15 * gap),
            "injection": {
                "to_clean": np.array([clean, *[CORRUPT + 0.8 * gap] * sizes]),
                "to_corrupt": np.array([CORRUPT, *[clean - 0.4 * gap] * sizes]),
            },
        },
        # The lens leans to the first action and tells the conclusions apart from block 3 on.
        "lens": np.where(sign[:, None] > 0, [1.0, 1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, -1.0, -2.0]),
    }


def edited() -> dict[str, Any]:
    """Margins of an edited quad of the made-up model."""
    into = {"nothing": 0.0, "full": 0.9, "along": 0.2, "across": 0.7, "along_probe": 0.1}
    into |= {"add": 0.3, "add_probe": 0.1, "add_random@0": 0.02, "add_random@1": -0.02}
    into |= {"sae_top1": 0.1, "sae_random1": 0.0, "sae_top30": 0.4}
    out = {"ablate": 0.25, "ablate_probe": 0.1, "ablate_random@0": 0.0, "ablate_random@1": 0.0}
    out |= {"sae_top1": 0.05, "sae_top30": 0.2}
    return {
        "into": {name: CORRUPT + share * GAP for name, share in into.items()},
        "out": {name: CLEAN - share * GAP for name, share in out.items()},
    }


def outside(template: str, jitter: float) -> dict[str, Any]:
    """A template's case: two hops are decided rightly and so is the lookup, small talk is not."""
    share = {"multi_hop": 0.05, "conversational": 0.0, "lookup": 0.6}[template]
    right = template != "conversational"
    states = {"field_only": CORRUPT + share * GAP + jitter, "notes_only": CLEAN, "full_patch": CLEAN}
    decided = [{"gold_is_match": on, "right": right} for on in (True, False)]
    return {"clean": CLEAN, "corrupt": CORRUPT, "states": states, "decisions": decided}


@pytest.fixture(scope="module")
def summary(settings: ControlsSettings, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    tokenizer = tiny("llama").tokenizer
    items = build_items(settings, tokenizer)
    every = [*items["discovery"], *items["held_out"]]
    rng = np.random.default_rng(1)
    chunks = [chunk(settings, float(rng.normal(0, 1e-3))) for _ in every]
    n = len(items["discovery"])
    known = planted(
        [item.quad.family for item in every],
        [item.quad.fields for item in every],
        ["discovery"] * n + ["held_out"] * (len(every) - n),
    )
    templates = build_templates(settings, tokenizer)
    measured = Measured(
        items,
        chunks[:n],
        chunks[n:],
        templates,
        [outside(case.wording, float(rng.normal(0, 1e-3))) for case in templates],
        make_plan(
            settings.model_copy(update={"n_aggregators": PLACES}), items, with_positions(items, chunks)
        ),
        known,
        probe(known, [item.quad for item in every], settings),
        {2: 0.3, 4: 0.1},
        range(0, len(items["held_out"]), 2),
        [edited() for _ in range(len(items["held_out"]) // 2)],
        train_features(settings, known, 2),
    )
    config = settings.model_dump(mode="json")
    with RunStore(tmp_path_factory.mktemp("summary")).open(
        experiment="controls", model=config.pop("model"), config=config, seed=0
    ) as run:
        run.set_model(
            {"revision": None, "weight_sha256": "0" * 64, "dtype": "float32", "random_weights": False}
        )
        run.noise_floor["margin"] = 1e-3
        right = mean(np.ones(len(every)), [item.quad.family for item in every])
        run.competence = Competence(accuracy=right, threshold=0.8, passed=True)
        run.headline["competence"] = right
        # The edited quads of the made-up model have no jitter.
        for at in measured.chosen:
            measured.scores[at]["polarity"]["clean"] = CLEAN
        summarise(run, settings, measured)
    return run.record


def with_positions(items: Any, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            name: {**found[name], "positions": np.full(len(note_labels(getattr(item.quad, name))), CORRUPT)}
            for name in ("polarity", "field")
        }
        for item, found in zip(items["discovery"], chunks, strict=False)
    ]


def test_the_headline_has_its_known_answers(summary: RunRecord) -> None:
    values = {name: estimate.value for name, estimate in summary.headline.items()}
    assert values.pop("sae_auc") > 0.9
    assert values == {
        "competence": 1.0,
        "trigger_only": pytest.approx(0.01, abs=1e-3),
        "notes_only": pytest.approx(0.99, abs=1e-3),
        "write_depth": 0.5,
        "commit_depth": 0.75,
        "top8": pytest.approx(0.8, abs=1e-3),
        "random8": pytest.approx(0.15, abs=1e-3),
        "injection": pytest.approx(1.0, abs=1e-3),
        "multi_hop_field_only": pytest.approx(0.05, abs=1e-3),
        "lookup_field_only": pytest.approx(0.6, abs=1e-3),
        "direction": pytest.approx(0.3),
        "direction_random": pytest.approx(0.0, abs=1e-9),
        "sae_top1_clamp": pytest.approx(0.1),
        "sae_top30_clamp": pytest.approx(0.4),
        "scrub_same": pytest.approx(0.02, abs=1e-3),
        "scrub_note": pytest.approx(0.8, abs=1e-3),
        "scrub_rest": pytest.approx(0.3, abs=1e-3),
    }
    assert set(summary.headline) == HEADLINES
    scored = {name: estimate.n_families for name, estimate in summary.headline.items()}
    everywhere = {"competence", "trigger_only", "notes_only", "multi_hop_field_only", "lookup_field_only"}
    assert {name for name, n in scored.items() if n == 16} == everywhere
    assert {n for name, n in scored.items() if name not in everywhere} == {8}


def test_probes_tell_conclusion_from_field(summary: RunRecord) -> None:
    table = {line["layer"]: line for line in lines(summary, "probes")}
    assert table[1]["conclusion"] < 0.7
    assert table[1]["field"] > 0.95  # known in its own family before any conclusion is
    assert table[2]["conclusion"] > 0.95
    assert table[2]["p_adjusted"] < 0.05 < table[1]["p_adjusted"]
    assert all(0.2 < line["shuffled"] < 0.8 for line in table.values())


def test_claims_are_held_against_floors_of_discovery_families(summary: RunRecord) -> None:
    assert summary.noise_floor["same_conclusion_trigger_all"] == pytest.approx(0.1, abs=1e-3)
    assert summary.noise_floor["same_conclusion_trigger"] == pytest.approx(0.005, abs=1e-3)
    verdicts = {
        (line["claim"], line["floor_of"]): line["equivalent"] for line in lines(summary, "equivalence")
    }
    wide, narrow, field = (f"same_conclusion_{n}" for n in ("trigger_all", "trigger", "field_all"))
    assert {claim for claim, equivalent in verdicts.items() if equivalent} == {
        ("trigger_only is about 0", wide),
        ("notes_only is about 1", wide),
        ("injection is about 1", field),
        ("scrub_same is about 0", wide),
        ("scrub_same, other values, note is about 0", wide),
        ("direction_random is about 0", wide),
        ("multi_hop_field_only is about 0", field),
        ("conversational_field_only is about 0", field),
    }
    assert {claim for claim, equivalent in verdicts.items() if not equivalent} == {
        ("trigger_only is about 0", narrow),  # 0.01 is within 0.1, and not within 0.005
        ("random8 is about 0", field),
        ("top8 is about 1", field),
        ("scrub_rest is about 0", wide),
        ("scrub_note is about 1", wide),
    }


def test_false_notes_are_followed_or_not(summary: RunRecord) -> None:
    (whole,) = lines(summary, "injection", positions="all notes")
    assert (whole["follows"], whole["value"]) == (1.0, pytest.approx(1.0, abs=1e-3))
    (some,) = lines(summary, "injection", positions="top8")
    assert some["follows"] == 0.5  # 0.8 of the way turns the decision, 0.4 does not
    assert some["value"] == pytest.approx(0.6, abs=1e-3)


def test_what_edits_take_away_stands_beside_what_they_bring(summary: RunRecord) -> None:
    taken = {line["arm"]: line["value"] for line in lines(summary, "directions", edit="out of clean")}
    assert taken == {
        "ablate": pytest.approx(0.25),
        "ablate_probe": pytest.approx(0.1),
        "ablate_random": pytest.approx(0.0, abs=1e-9),
    }
    clamps = {(line["edit"], line["arm"]): line["value"] for line in lines(summary, "sae_clamps")}
    assert clamps["out of clean", "sae_top30"] == pytest.approx(0.2)
    assert clamps["into corrupt", "sae_random1"] == pytest.approx(0.0, abs=1e-9)
    assert ("into corrupt", "sae_random30") not in clamps  # of 24 features no 30 others exist
    (line,) = lines(summary, "sae")
    assert line["samples"] == 16 * 4 * PLACES
    assert line["unexplained_held_out"] > 0


def test_a_template_that_the_model_fails_makes_no_claim(summary: RunRecord) -> None:
    competent = {line["template"]: line["competent"] for line in lines(summary, "templates")}
    assert competent == {"multi_hop": True, "conversational": False, "lookup": True}
    assert "conversational_field_only" not in summary.headline


def test_published_figures_of_this_experiment_are_whole() -> None:
    frame = published(experiment="controls")
    assert frame["id"].is_unique
    assert set(frame["headline"]) == HEADLINES - {"competence"}
    top = published("top8", experiment="controls")
    assert top.loc[top["id"] == "DC0016", "value"].tolist() == [0.78]
    interval = frame.dropna(subset=["ci_low", "ci_high"])
    for low, value, high in interval[["ci_low", "value", "ci_high"]].to_numpy().tolist():
        assert low - 5e-4 <= value <= high + 5e-4
