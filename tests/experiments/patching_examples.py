"""What a made-up model would give on the patching experiment's cases, and what reads its tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.patching.cases import Cases, Variants, arrange, candidates
from experiments.patching.measure import Measured
from experiments.patching.paths import CUT_OFF, Paths
from experiments.patching.ranking import RankedSites
from experiments.patching.scored import RandomSets, Scored
from experiments.patching.settings import PatchingSettings
from experiments.patching.subsets import Dose, Doses, Grid
from pkv_interp.measure.anchor_ranking import anchors, make_rankings
from pkv_interp.measure.competence import Decision
from pkv_interp.records import RunRecord
from pkv_interp.records.archive import Head
from pkv_interp.records.environment import environment
from pkv_interp.records.tables import by_table
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage, key_of
from pkv_interp.tasks import Case
from tests import runs
from tests.experiments.configs import compose

LAYERS = 3
CORRUPT = -3.0


def small() -> PatchingSettings:
    """Tiny sizes, on all families and two instances a side."""
    sizes = [a for a in runs.PATCHING if not a.startswith(("instances", "families"))]
    made = compose("patching", *sizes, "instances=2")
    assert isinstance(made, PatchingSettings)
    return made


def build_cases(settings: PatchingSettings, tokenizer: Any) -> tuple[Cases, Variants]:
    """All cases of a run that does not screen."""
    tried = candidates(settings, tokenizer)
    return arrange(settings, tokenizer, tried, {"discovery": tried.discovery, "held_out": tried.held_out})


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    """Lines of a record's table whose columns have the wanted values."""
    return _chosen(record.tables[name], wanted)


def table(report: Report, name: str, **wanted: Any) -> list[dict[str, Any]]:
    """As `lines`, of a summary's report."""
    return _chosen(by_table(report.tables)[name], wanted)


def _chosen(table: list[dict[str, Any]], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def scoring_of(settings: PatchingSettings) -> Scoring[PatchingSettings]:
    """A trained model in float32 whose margins are known to a thousandth."""
    model: dict[str, Any] = {"dtype": "float32", "random_weights": False}
    place = environment(device="cpu", dtype="float32", attention="eager")
    return Scoring(settings, Head(model, (), {"margin": 1e-3}, place))


def decisions_of(case: Case) -> tuple[Decision, Decision]:
    """Right on both prompts."""
    yes, no = (Decision(case.family, case.instance, match, 3.0, True, True) for match in (True, False))
    return yes, no


def scored(case: Case, rng: np.random.Generator) -> Scored:
    """A scored instance: ten note positions carry a tenth each, and the field nothing."""
    n = len(anchors(case))
    jitter = float(rng.normal(0, 1e-3))
    clean, corrupt = 3.0 + jitter, CORRUPT
    gap = clean - corrupt
    single = np.full(n, corrupt)
    single[:10] += gap / 10
    spans = {"field": (clean, corrupt)}
    shares = {f"{o}@{s:g}": (1.5, -1.5) for o in ("effect", "attention", "random0") for s in (0.5, 1.0)}
    hidden = spans | shares
    masses = {"sink": 0.5, "field": 0.01, "notes": 0.4, "itself": 0.09}
    return Scored(
        clean=clean,
        corrupt=corrupt,
        decisions=decisions_of(case),
        states={"field_only": corrupt + 0.06 + jitter, "notes_only": clean - 0.06, "full_patch": clean},
        twin={"field": corrupt + 0.03, "notes": corrupt - 0.6, "both": corrupt + 0.6},
        positions=dict.fromkeys(("K", "V", "KV"), single),
        layers=dict.fromkeys(("K", "V", "KV"), np.array([corrupt, corrupt + gap / 2 + jitter, clean])),
        thirds={"early": corrupt + jitter, "middle": 0.0, "late": clean},
        cumulative=corrupt + gap * np.minimum(np.arange(1, n + 1) / 10, 1.0),
        suffix=np.array([corrupt, 0.0, clean]),
        prefix=np.array([corrupt, corrupt + jitter, clean]),
        random={
            "region": RandomSets(np.full((3, 2), corrupt + 0.15 * gap), np.ones(3)),
            "token_kind": RandomSets(np.full((3, 2), corrupt), np.ones(3)),
        },
        hidden_clean={name: both[0] for name, both in hidden.items()},
        hidden_corrupt={name: both[1] for name, both in hidden.items()},
        attention={name: [mass] * LAYERS for name, mass in masses.items()},
    )


def closed(one: Scored) -> Paths:
    """Nothing is left without the notes' sight of the field, half without the other paths."""
    half, whole = (one.clean / 2, one.corrupt / 2), (one.clean, one.corrupt)
    margins = {
        "notes_field": (0.1, -0.1),
        "notes_rule": half,
        "question_notes": half,
        "decision_field": whole,
        CUT_OFF: (0.2, 0.2),
    }
    clean, corrupt = ({name: both[side] for name, both in margins.items()} for side in (0, 1))
    return Paths(clean, corrupt, [whole])


def made_up(cases: Cases) -> Measured:
    """All that the experiment would measure on these cases."""
    rng = np.random.default_rng(0)
    found = {key_of(case): scored(case, rng) for case in cases.held_out}
    ranked = {}
    for case in cases.discovery:
        one = scored(case, rng)
        attention = np.full(len(anchors(case)), 0.01)
        ranked[key_of(case)] = RankedSites(
            one.clean, one.corrupt, one.decisions, one.positions["KV"], attention
        )
    doses, places, grids = {}, {}, {}
    for case in cases.dosed:
        one = found[key_of(case)]
        states = {"field_only": one.corrupt, "notes_only": one.clean}
        dose = Dose(one.clean, one.corrupt, 100, to_rule=20, to_decision=60, states=states)
        late = Dose(one.clean, one.corrupt, 100, -40, 12, {"field_only": 0.0, "notes_only": 0.0})
        places[key_of(case)] = Doses({"first": dose, "after_rule": dose, "last": late})
        doses[key_of(case)] = Doses(dict.fromkeys(("fillers=0", "fillers=2", "rules=1", "rules=2"), dose))
    for case in cases.grid:
        one = found[key_of(case)]
        nothing = np.full((LAYERS, len(anchors(case))), one.corrupt)
        cells = {"V": nothing, "KV": np.tile(one.positions["KV"], (LAYERS, 1))}
        grids[key_of(case)] = Grid(one.clean, one.corrupt, cells, {"V": 1.0, "KV": 1.0})
    rankings = make_rankings(cases.discovery, list(ranked.values()))
    scores = Stage(found)
    return Measured(
        cases,
        Stage(ranked),
        rankings,
        scores,
        scores.map(closed),
        Stage(grids),
        Stage(doses),
        Stage(places),
        Stage({}),
    )
