"""Margins of edited caches beside those predicted from the two plain prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from experiments.anatomy.settings import AnatomySettings
from pkv_interp.cache import Runner
from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, KVPatch, Row
from pkv_interp.measure.margin_model import CAPTURE, MarginModel, outputs_over
from pkv_interp.measure.note_groups import note_groups
from pkv_interp.measure.pairs import PairRun, decode_margins, margin_of, run_pair
from pkv_interp.streams import stream
from pkv_interp.tasks import Case
from pkv_interp.tasks.corrected import Corrected


@dataclass(frozen=True)
class EditedCache:
    """One edited cache; margins in logits.

    Attributes:
        kind: of edit: ``pasted``, ``random``, ``suffix``, ``group``, ``recomputed``, ``hidden`` or
            ``erratum``.
        edit: its name.
        measured: the model's own.
        predicted: from the two plain prompts alone.
        toy: by the published toy; None where columns are hidden, of which it says nothing.
        start: margin of the prompt that was edited; None where it is the case's corrupt one.
    """

    kind: str
    edit: str
    measured: float
    predicted: float
    toy: float | None
    start: float | None = None


@dataclass(frozen=True)
class Predictions:
    """One case; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        edits: in order.
        own_outputs: largest difference between heads' outputs as told from weights and values, nothing put
            in, and the model's own, over the largest of these.
    """

    clean: float
    corrupt: float
    edits: list[EditedCache]
    own_outputs: float


def predict(
    engine: Engine, runner: Runner, case: Case, corrected: Sequence[Corrected], settings: AnatomySettings
) -> Predictions:
    """Every edit, measured and predicted.

    Args:
        engine: of the model.
        runner: of the same model; it computes tokens again.
        case: to score.
        corrected: the same instance with a line about its field.
        settings: sizes.
    """
    pair = run_pair(engine, case, CAPTURE)
    model = MarginModel.of(engine, pair)
    seen = pair.corrupt.need("attn").double().mean((0, 1)).cpu().numpy()
    ranked = sorted(pair.notes, key=lambda at: -seen[at])
    pasted = _pasted(pair, ranked, settings)
    hidden = _hidden(pair, ranked)
    rows: list[Row] = [(KVPatch(positions, 0),) for positions in pasted.values()]
    rows += [(Knockout(positions),) for positions in hidden.values()]
    found = iter(decode_margins(engine, pair, rows).tolist())
    edits = [
        EditedCache(kind, edit, next(found), model.margin(positions), model.toy_margin(positions))
        for (kind, edit), positions in pasted.items()
    ]
    edits += [
        EditedCache(kind, edit, next(found), model.margin((), positions), None)
        for (kind, edit), positions in hidden.items()
    ]
    for k in _sizes(pair, settings):
        positions = tuple(sorted((*pair.changed, *ranked[:k])))
        made = runner.recompute(pair.corrupt.cache, positions, [case.clean.ids[at] for at in positions])
        base = engine.open(case.clean.ids, made.cache)
        edits.append(
            EditedCache(
                "recomputed",
                f"field and {k} tokens",
                margin_of(base, case.action_ids),
                model.margin(positions),
                model.toy_margin(positions),
            )
        )
    edits += [_erratum(engine, one) for one in corrected]
    own = outputs_over(engine.spec, pair.corrupt, pair.clean) - pair.corrupt.z.float()
    return Predictions(
        pair.clean_margin,
        pair.corrupt_margin,
        edits,
        float(own.abs().max() / torch.clamp(pair.corrupt.z.float().abs().max(), min=1e-30)),
    )


def _erratum(engine: Engine, one: Corrected) -> EditedCache:
    """A stale prompt with a line that gives the new value, as if all from that line on were the new prompt's.

    The two plain prompts both have the line, each with its own value. What follows the line in the edited
    prompt has read the stale notes as well, and no plain prompt tells how.
    """
    pair = run_pair(engine, one.case, CAPTURE)
    model = MarginModel.of(engine, pair)
    line = one.case.clean.spans["update"][0]
    run_anew = tuple(at for at in pair.notes if at >= line)
    edited = engine.prefill(one.edited.ids, frozenset())
    return EditedCache(
        "erratum",
        one.wording,
        margin_of(edited, one.case.action_ids),
        model.margin(run_anew),
        model.toy_margin(run_anew),
        pair.corrupt_margin,
    )


def _sizes(pair: PairRun, settings: AnatomySettings) -> list[int]:
    """Numbers of notes that the pair has."""
    return [k for k in settings.predicted_k if k <= len(pair.notes)]


def _pasted(
    pair: PairRun, ranked: list[int], settings: AnatomySettings
) -> dict[tuple[str, str], tuple[int, ...]]:
    """Positions whose columns are put in, by kind and name of the edit."""
    notes = pair.notes
    rng = stream(settings.seed, "anatomy", "predicted positions", pair.case.instance)
    found: dict[tuple[str, str], tuple[int, ...]] = {("pasted", "field"): pair.changed}
    for k in _sizes(pair, settings):
        found["pasted", f"{k} most attended notes"] = tuple(sorted(ranked[:k]))
        found["random", f"{k} random notes"] = tuple(sorted(rng.choice(notes, k, replace=False).tolist()))
    for share in (0.1, 0.25, 0.5):
        found["suffix", f"last {share:.0%} of the notes"] = notes[-max(1, round(share * len(notes))) :]
    for name, positions in note_groups(pair.case).items():
        found["group", name] = positions
    return found


def _hidden(pair: PairRun, ranked: list[int]) -> dict[tuple[str, str], tuple[int, ...]]:
    """Positions that the decision may not see, by kind and name of the edit."""
    groups = note_groups(pair.case)
    return {
        ("hidden", "field"): pair.changed,
        ("hidden", "8 most attended notes"): tuple(sorted(ranked[:8])),
        **{("hidden", name): positions for name, positions in groups.items() if name != "notes"},
    }
