"""What an adapter can do, and what its mechanism is."""

from dataclasses import dataclass

from experiments.train_gate.cases import mechanism_cases
from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import cache_states, run_pair
from pkv_interp.models.load import LoadedModel
from pkv_interp.training.evaluation import answer
from pkv_interp.training.probes import probes


@dataclass(frozen=True)
class Answer:
    """The answer to one prompt.

    Attributes:
        condition: what is tested, for example ``length-12``.
        family, instance, wording: of the prompt.
        match: the field's current value is the trigger.
        tokens: length of the prompt.
        margin: towards the gold action, in logits.
        top_token_right: the gold action is the most likely token.
    """

    condition: str
    family: str
    instance: str
    wording: str
    match: bool
    tokens: int
    margin: float
    top_token_right: bool

    @property
    def right(self) -> bool:
        """The gold action is the more likely one of the two."""
        return self.margin > 0


@dataclass(frozen=True)
class Answers:
    """One answer per prompt, in the order of the prompts."""

    prompts: list[Answer]


@dataclass(frozen=True)
class CacheStates:
    """One pair; margins in logits.

    Attributes:
        family: of the pair.
        changed: the span in which its prompts differ, ``field`` or ``trigger``.
        clean, corrupt: margins of the two prompts.
        changed_only: with clean KV at the changed span.
        notes_only: with clean KV after it.
    """

    family: str
    changed: str
    clean: float
    corrupt: float
    changed_only: float
    notes_only: float


@dataclass(frozen=True)
class Mechanism:
    """Cache states of every pair, at one stage of the training."""

    pairs: list[CacheStates]


def judge(loaded: LoadedModel, settings: TrainGateSettings) -> Answers:
    """Answers to prompts of every condition, on the scenarios' families and wordings.

    Of the packaged ones none was trained on.
    """
    found = probes(
        settings.world,
        loaded.tokenizer,
        seed=settings.seed,
        lengths=settings.lengths,
        instances=settings.instances,
        layout=settings.layout,
    )
    return Answers(
        [
            Answer(
                condition=probe.condition,
                family=probe.family,
                instance=probe.instance,
                wording=probe.wording,
                match=probe.match,
                tokens=len(probe.prompt),
                margin=margin,
                top_token_right=top == probe.action_ids[0],
            )
            for probe, (margin, top) in zip(found, answer(loaded.model, loaded.tokenizer, found), strict=True)
        ]
    )


def mechanism(loaded: LoadedModel, settings: TrainGateSettings) -> Mechanism:
    """Cache states of field and polarity pairs."""
    engine = Engine(loaded, settings.memory_budget_mb)
    found = []
    for case in mechanism_cases(settings, loaded.tokenizer):
        pair = run_pair(engine, case, ())
        states = cache_states(engine, pair)
        found.append(
            CacheStates(
                family=case.family,
                changed=case.changed,
                clean=pair.clean_margin,
                corrupt=pair.corrupt_margin,
                changed_only=states[f"{case.changed}_only"],
                notes_only=states["notes_only"],
            )
        )
    return Mechanism(found)
