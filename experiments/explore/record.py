"""A state and what was computed for it, as a record of the house's schema."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydantic import ValidationError

from experiments.explore.desk import Ready
from experiments.explore.explorer import Explorer, cut_of
from experiments.explore.notes import Joint
from experiments.explore.opened import Opened
from experiments.explore.permalink import pack
from experiments.explore.state import State
from pkv_interp.errors import PkvError
from pkv_interp.models.requested import requested_weights
from pkv_interp.records import Competence, Row, RunRecord
from pkv_interp.records.controls import control, raise_for_controls
from pkv_interp.records.environment import environment
from pkv_interp.records.key import asked, digest, jsonable
from pkv_interp.records.schema import Control
from pkv_interp.records.store import file_name
from pkv_interp.records.tables import by_table
from pkv_interp.run.tokens import token_table
from pkv_interp.stats import Estimate
from pkv_interp.tolerances import tolerance_of

NAME = "explore"
#: Seconds that the words, which every record has, are waited for.
_PATIENCE = 120.0


def record_of(explorer: Explorer, state: State) -> RunRecord:
    """The record: the pair and its words always, other views as far as they were looked at.

    Raises:
        PkvError: the prompt is refused, or a control failed.
    """
    begin = time.monotonic()
    found = _value(explorer.opened(state.source, _PATIENCE))
    made = _value(explorer.joint(state, _PATIENCE))
    words = _value(explorer.words(state, _PATIENCE))
    config = explorer.settings.model_dump(mode="json", exclude={"port", "browser", "threads"})
    config["state"] = state.model_dump(mode="json")
    seed, info = explorer.settings.seed, explorer.loaded.info
    controls = _controls(explorer, found, made, state)
    raise_for_controls(controls)
    wanted = asked(NAME, config, weights=requested_weights(explorer.settings.model), seed=seed)
    fields = {
        "key": digest([NAME, wanted.config, wanted.weights, seed]),
        "weights": wanted.weights,
        "experiment": NAME,
        "status": "success",
        "config": wanted.config,
        "model": info.model_dump(mode="json"),
        "environment": environment(device=info.device, dtype=info.dtype, attention=info.attention),
        "seed": seed,
        "started_at": datetime.now(UTC),
        "seconds": time.monotonic() - begin,
        "controls": controls,
        "competence": _competence(found, info.random_weights),
        "remarks": _remarks(found, state),
        "rows": list(_rows(explorer, state, found, made)),
        "tables": jsonable(_tables(explorer, state, found, words), "a table"),
    }
    try:
        return RunRecord.model_validate(fields)
    except ValidationError as error:
        raise PkvError(f"this is no valid record: {error.errors()[0]['msg']}", "report it") from error


def name_of(record: RunRecord) -> str:
    """The name of its file."""
    return f"{file_name(record.model_name, record.key)}.json"


def _value(answer: Any) -> Any:
    if isinstance(answer, Ready):
        return answer.value
    raise PkvError(getattr(answer, "line", "this is not computed yet"), "wait for the view, then save it")


def _controls(explorer: Explorer, found: Opened, made: Joint, state: State) -> list[Control]:
    """Own columns move nothing; all clean columns in all layers give the clean prompt back."""
    allowed = tolerance_of(explorer.loaded.info.dtype).logits
    controls = [control("self_patch", made.itself, found.corrupt.margin, allowed, "margin in logits")]
    if state.notes.layers in (None, (0, explorer.n_layers - 1)) and state.notes.part == "KV":
        controls.append(
            control("full_patch", made.everything, found.clean.margin, allowed, "margin in logits")
        )
    return controls


def _competence(found: Opened, random_weights: bool) -> Competence:
    """Of this very pair: right on both sides, or not competent; random weights are right by luck alone."""
    sides = {"match": found.clean.right, "mismatch": found.corrupt.right}
    accuracy = Estimate(value=sum(sides.values()) / 2, n_families=1, n_instances=2)
    passed = found.competent and not random_weights
    per_value = {name: float(right) for name, right in sides.items()}
    return Competence(accuracy=accuracy, per_value=per_value, threshold=1.0, passed=passed)


def _remarks(found: Opened, state: State) -> list[str]:
    wrong = [] if found.competent else ["the model is wrong on this pair: a route of influence, and no more"]
    return [*wrong, "one prompt, looked at by hand: no interval is over it", f"permalink ?s={pack(state)}"]


def _rows(explorer: Explorer, state: State, found: Opened, made: Joint) -> Iterator[Row]:
    case = found.pair.case

    def row(arm: str, patched: float, **extra: Any) -> Row:
        return Row(
            family=case.family,
            split=case.split,
            instance=case.instance,
            wording=case.wording,
            arm=arm,
            clean=found.clean.margin,
            corrupt=found.corrupt.margin,
            patched=patched,
            extra=extra,
        )

    if made.words is not None:
        yield row("words", made.words, words=" ".join(map(str, state.notes.words)))
    yield row("notes", made.notes)
    yield row("changed", made.changed)
    compared = explorer.kept("edits", state)
    for one in compared.tried if compared else ():
        if not one.refused:
            yield row(f"edit/{one.method}", one.margin, kl=one.kl, tokens=one.tokens, choice=one.choice)
    moved = explorer.kept("moved", state)
    if moved:
        cut = cut_of(state.compose, found.pair)
        for side, by_repair in moved.items():
            one = by_repair[cut.repair]
            yield row(f"chunk/{side}", one.spliced, kl=one.kl, full=one.full, repaired=cut.repair)


def _tables(explorer: Explorer, state: State, found: Opened, words: Any) -> dict[str, Any]:
    # Without a gap no word has a recovery, and 0 would say that it was measured.
    tables: dict[str, Any] = by_table(token_table(found.pair.case, words)) if found.has_gap else {}
    tables["decisions"] = [
        {name: value for name, value in asdict(side).items() if name != "top"}
        for side in (found.clean, found.corrupt)
    ]
    heads = explorer.kept("heads", state)
    if heads is not None and np.isfinite(heads).all():
        site = explorer.site(state)
        tables["heads"] = [
            {
                "site": state.heads.site,
                "mode": site.mode,
                "layer": la,
                "head": h,
                "effect": float(heads[la, h]),
            }
            for la, h in np.ndindex(*heads.shape)
        ]
    effect = explorer.kept("chosen", state)
    if effect is not None and effect == effect:
        chosen = " ".join(f"{la}.{h}" for la, h in state.heads.chosen)
        heads_of = {"heads": chosen, "site": state.heads.site, "mode": state.heads.mode}
        tables["chosen_heads"] = [{**heads_of, "effect": effect}]
    links = explorer.kept("chain", state)
    if links:
        tables["chain"] = [
            {**link.step.model_dump(), "margin": link.after.margin, "kl": link.after.kl, "full": link.full[1]}
            for link in links
            if not link.after.refused
        ]
    return tables
