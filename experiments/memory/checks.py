"""Checks with known answers: splices, edits that must be exact, and gold answers read from the text again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from experiments.memory.agents import LAST, AgentRun
from experiments.memory.edits import Scene
from experiments.memory.personas import Persona, answered, questions
from experiments.memory.prompts import Wording, memory_text
from experiments.memory.reading import FULL, worst
from experiments.memory.settings import MemorySettings
from experiments.memory.transplant import compiled
from experiments.memory.words import VALUES
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.controls import size_of
from pkv_interp.measure.splices import first_keys_apart, spliced_in_context
from pkv_interp.memory import CompiledMemory
from pkv_interp.memory.splices import SHOWS, unturned

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Checks:
    """Errors of what is known, on the first persona.

    Attributes:
        own_position: of a memory spliced where it was computed, in logits.
        run_anew: of a memory that is spliced and then run anew whole, in logits.
        turned: of the first layer's keys of the splice, as a share of the largest.
        unturned: the same of keys that were not turned: no error, but what such an error looks like.
        recompiled: of a memory updated by ``recompile``, against one that was written with the new value,
            in logits.
        all_run: of ``recompute@all`` against the same, in logits.
        own_columns: of the setting's columns after an edit in place, against the same, as a share of the
            largest.
        other_columns: of all other columns after it, against those before it; nothing may have moved.
        noise: of a prefill in two parts, in logits.
        size: no error but the largest logit, which rounding is a share of.
    """

    own_position: float
    run_anew: float
    turned: float
    unturned: float
    recompiled: float
    all_run: float
    own_columns: float
    other_columns: float
    noise: float
    size: float


def check_memory(session: Session[MemorySettings], personas: Sequence[Persona], wording: Wording) -> None:
    """Stop the run where splicing, editing or asking does not do what it says; set the noise floor.

    Args:
        session: of the run.
        personas: all that are asked about.
        wording: of the model.

    Raises:
        ControlFailure: an error is too large.
    """
    settings = session.settings
    found = session.once("memory checks", lambda: measure_checks(personas[0], wording, settings), Checks)
    session.size = found.size
    allowed = session.tolerance
    told = f"persona {personas[0].instance}"
    keys, logits = f"as a share of the largest, {told}", f"logits, {told}"
    session.control("memory_at_own_position", found.own_position, 0.0, allowed.logits, logits)
    session.control("memory_run_anew", found.run_anew, 0.0, allowed.logits, logits)
    session.control("turned_keys", found.turned, 0.0, allowed.keys, f"first layer's keys, {keys}")
    shows = float(found.unturned > max(SHOWS, allowed.keys))
    session.control("unturned_keys_show", shows, 1.0, 0.0, f"1 where the first layer's keys differ, {keys}")
    session.control("extend_equals_prefill", found.noise, 0.0, allowed.logits, logits)
    new = f"{logits}, against a memory that is written with the new value"
    session.control("recompiled_equals_written", found.recompiled, 0.0, allowed.logits, new)
    session.control("all_recomputed_equals_written", found.all_run, 0.0, allowed.logits, new)
    own = f"keys and values of the setting after an edit in place, against those of a prefill, {keys}"
    session.control("edited_setting_equals_written", found.own_columns, 0.0, allowed.keys, own)
    rest = "keys and values of all others, before and after an edit in place"
    session.control("edit_moves_nothing_else", found.other_columns, 0.0, 0.0, rest)
    right, n = golds_right(personas, settings)
    session.control("golds_follow_from_the_text", right, 1.0, 0.0, f"share of {n} questions")
    same = f"share of {len(personas)} personas: whole and in blocks"
    session.control("same_tokens", same_tokens(personas, wording, settings), 1.0, 0.0, same)
    session.set_noise_floor(max(found.noise, found.own_position, found.run_anew, found.all_run))


def check_agents(session: Session[MemorySettings], runs: Sequence[AgentRun]) -> None:
    """Stop the run where a prefix cache decides otherwise than the prefill of the same tokens.

    Args:
        session: of the run.
        runs: all conversations.

    Raises:
        ControlFailure: it does.
    """
    apart = max(
        abs(turn.arms[LAST].reading.margin - turn.arms[FULL].reading.margin)
        for run in runs
        for turn in run.turns
    )
    told = f"margins in logits, every turn of {len(runs)} conversations, memory last"
    session.control("prefix_cache_equals_prefill", apart, 0.0, session.tolerance.logits, told)


def measure_checks(persona: Persona, wording: Wording, settings: MemorySettings) -> Checks:
    """The errors on one persona's memory, after what was said.

    Args:
        persona: with a question that decides.
        wording: of the model.
        settings: of what was said.
    """
    loaded = wording.loaded
    runner, tokenizer = Runner.of(loaded.model), loaded.tokenizer
    scene = Scene.of(persona, wording, settings)
    question = questions(persona, 1, settings.seed)[0]
    name, on = question.toggled
    value = VALUES[0] if on else VALUES[1]
    words = wording.question(scene.laid.text, question).ids
    opening, memory = scene.opening, scene.memory
    spliced = opening.attach(memory)
    full = runner.prefill(spliced.ids).cache
    whole = runner.prefill((*spliced.ids, *words)).logits
    extended = runner.extend(full, words).logits
    assert opening.cache is not None
    assert spliced.cache is not None
    own = spliced_in_context(
        runner, tokenizer, opening.cache, spliced.ids, [(opening.length, spliced.length)]
    )
    bare = unturned(opening, memory).cache
    assert bare is not None
    written = compiled(persona.changed(name, on), wording)
    new = opening.attach(written).logits(words)
    updated = {how: memory.update(name, value, how) for how in ("recompile", "recompute@all", "in_place")}
    span = memory.blocks[0].state.spans[name]
    inside, outside = _columns(updated["in_place"], memory, written, span)
    return Checks(
        own_position=worst(runner.extend(own, words).logits, extended),
        run_anew=worst(opening.attach(memory, seam=memory.length).logits(words), extended),
        turned=first_keys_apart(spliced.cache, full),
        unturned=first_keys_apart(bare, full),
        recompiled=worst(opening.attach(updated["recompile"]).logits(words), new),
        all_run=worst(opening.attach(updated["recompute@all"]).logits(words), new),
        own_columns=inside,
        other_columns=outside,
        noise=worst(extended, whole),
        size=size_of(whole),
    )


def _columns(
    edited: CompiledMemory, old: CompiledMemory, new: CompiledMemory, span: tuple[int, int]
) -> tuple[float, float]:
    """How far a setting's columns are from the new ones, as a share, and all others from the old ones."""
    caches = [one.blocks[0].state.cache for one in (edited, old, new)]
    start, stop = span
    inside, outside = 0.0, 0.0
    for part in ("keys", "values"):
        for mine, before, after in zip(*(getattr(cache, part) for cache in caches), strict=True):
            moved = _largest(mine[..., start:stop, :] - after[..., start:stop, :])
            inside = max(inside, moved / max(_largest(after), 1e-12))
            for rest in (slice(0, start), slice(stop, None)):
                outside = max(outside, float(_largest(mine[..., rest, :] - before[..., rest, :])))
    return inside, outside


def _largest(values: Tensor) -> float:
    return float(values.float().abs().max()) if values.numel() else 0.0


def golds_right(personas: Sequence[Persona], settings: MemorySettings) -> tuple[float, int]:
    """Share of questions whose gold answer is what the lines of the memory say, and how many there are.

    A question that has more than one violator counts as wrong, and so do golds that are not balanced.
    """
    right: list[bool] = []
    for one in personas:
        text = memory_text(one.memory())
        for relevant in settings.relevant:
            asked = questions(one, relevant, settings.seed, each=settings.each)
            balanced = sum(question.gold for question in asked) * 2 == len(asked)
            for question in asked:
                off = [name for name in question.names if not answered(text, [name])]
                fits = answered(text, question.names) == question.gold and off == (
                    [] if question.violator is None else [question.violator]
                )
                right.append(fits and balanced and len(set(question.names)) == relevant)
    return sum(right) / len(right), len(right)


def same_tokens(personas: Sequence[Persona], wording: Wording, settings: MemorySettings) -> float:
    """Share of personas whose memory has the same tokens as one text, as a block, and as most blocks.

    Args:
        personas: all.
        wording: of the model.
        settings: the most blocks.
    """
    found: list[bool] = []
    for one in personas:
        memory = one.memory()
        want = wording.ids(memory_text(memory))
        cut = memory.split(min(settings.blocks[-1], len(one.settings)))
        pieces = [wording.ids("".join(s.text for s in block)) for block in cut.blocks]
        found.append(tuple(token for piece in pieces for token in piece) == want)
    return sum(found) / len(found)
