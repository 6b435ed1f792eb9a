"""The controls experiment's choices, and its summary on numbers with known answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments._controls_cases import build_items, build_templates, make_plan, note_labels
from experiments._controls_edits import Residuals, train_features
from experiments._controls_measures import probed_layers
from experiments._controls_summary import Measured, summarise
from experiments._controls_timing import probe
from experiments.controls import ControlsSettings
from pkv_interp.records import Competence, RunRecord, RunStore
from pkv_interp.stats import mean
from pkv_interp.tasks import DISCOVERY, HELD_OUT
from pkv_interp.tasks.quads import CONCLUSIONS
from pkv_interp.tasks.sites import site_labels
from tests.experiments.configs import compose
from tests.experiments.controls_examples import HEADLINES, SMALL, lines
from tests.families import tiny


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
            "matched": np.linspace(1.0, 0.5, sizes),
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
        "direction_full": pytest.approx(0.9),
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


def test_how_well_random_sets_match_stands_beside_them(summary: RunRecord) -> None:
    assert [line["matched"] for line in lines(summary, "specificity", arm="random")] == [1.0, 0.75, 0.5]
    assert all(line["matched"] is None for line in lines(summary, "specificity", arm="top"))
