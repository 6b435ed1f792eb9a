"""A session: what ``measure`` works with. It loads, checks, times and stores; it knows no experiment."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from pkv_interp.engine import Engine, engine_of
from pkv_interp.errors import PkvError
from pkv_interp.measure.controls import ControlValues, check_cases
from pkv_interp.measure.half import NARROW, HalfCheck, check_half
from pkv_interp.measure.pairs import run_pair
from pkv_interp.models.load import LoadedModel, load
from pkv_interp.models.spec import ModelInfo, ModelSpec
from pkv_interp.models.tokenizer import load_tokenizer
from pkv_interp.names import Pattern
from pkv_interp.reference.verify import BridgeCheck, checked_by_default, verify_with_bridge
from pkv_interp.run.check import Check
from pkv_interp.run.provenance import Loaded, check_provenance
from pkv_interp.run.screen import Candidates, Kept, keep
from pkv_interp.run.screen_settings import ScreenSettings
from pkv_interp.run.screened import Decided, Screened, ScreenedPair
from pkv_interp.run.stage import Named, Stage, key_of
from pkv_interp.streams import stream
from pkv_interp.tolerances import ORDINARY_LOGIT, Tolerance, noise_floor, tolerance_of

if TYPE_CHECKING:
    from pkv_interp.models.load_text import LoadedText
    from pkv_interp.records.run import Run
    from pkv_interp.run.settings import ExperimentSettings
    from pkv_interp.tasks import Case

S = TypeVar("S", bound="ExperimentSettings")
N = TypeVar("N", bound=Named)
T = TypeVar("T")


@dataclass
class Session(Generic[S]):
    """One sitting of measuring.

    Attributes:
        settings: those that measuring may read; reading one of the summary's raises.
        run: where finished parts and controls go.
        noise_floor: by name; ``margin`` is that of margins, in logits.
        seconds: of measuring so far, over all sittings.
        size: the largest logit of the model's, once it was measured.
    """

    settings: S
    run: "Run"
    noise_floor: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    size: float = ORDINARY_LOGIT
    _described: ModelInfo | None = None

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, loaded when it is first asked for, and held against the run's key and earlier parts."""
        loaded = load(self.settings.model)
        check_provenance(self.run, loaded)
        return loaded

    @cached_property
    def text(self) -> "LoadedText":
        """The model for what only reads prompts, of an architecture that the engine need not read."""
        from pkv_interp.models.load_text import load_text

        loaded = load_text(self.settings.model)
        self.describe(loaded)
        return loaded

    def describe(self, loaded: Loaded) -> None:
        """Say which model is measured, where ``loaded`` did not; held against the run's key."""
        check_provenance(self.run, loaded)
        self._described = loaded.info

    @property
    def info(self) -> ModelInfo:
        """What a record says of the model that was measured."""
        return self.loaded.info if self._described is None else self._described

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, at hand before the model is loaded, so that prompts are checked first."""
        return load_tokenizer(self.settings.model)

    @cached_property
    def engine(self) -> "Engine":
        """The model wrapped for interventions."""
        return engine_of(self.loaded, self.settings.memory_budget_mb, self.settings.remote)

    @property
    def tolerance(self) -> Tolerance:
        """Allowed errors in the model's dtype, for logits of the model's size where that is known."""
        return tolerance_of(self.info.dtype).for_logits_of(self.size)

    def pattern(
        self, what: str = "edited and composed prompts, their full prefills too, are prefilled"
    ) -> Pattern | None:
        """The attention pattern that the model's prompts are prefilled under; the record says so.

        Args:
            what: stands before "under the pattern" in the record's remark.
        """
        named = self.settings.model.pattern
        if named is not None:
            self.run.remarks.append(f"{what} under the pattern '{named}'")
        return named

    def rng(self, name: str) -> np.random.Generator:
        """The experiment's random stream of that name."""
        return stream(self.settings.seed, self.run.asked.experiment, name)

    def once(self, name: str, compute: Callable[[], T], kind: type[T]) -> T:
        """What ``compute`` returns, or what it returned in an earlier sitting of the run.

        Args:
            name: of the part, unique in the run.
            compute: makes it; nothing that is random or timed may be outside of it.
            kind: its type, a frozen dataclass.

        Raises:
            PkvError: it has no form on disk, or the disk is full.
        """
        found = self.run.stages.once(name, compute, kind, time.monotonic)
        self.seconds += found.seconds
        return found.value

    def each(self, stage: str, items: Sequence[N], measure: Callable[[N], T], kind: type[T]) -> Stage[T]:
        """Measure every item, storing each as it is finished.

        Args:
            stage: its name; parts are called ``stage/key``.
            items: what to measure; their keys differ.
            measure: makes one result.
            kind: the type of a result, a frozen dataclass.

        Raises:
            PkvError: two items share a key, a result has no form on disk, or the disk is full; or measuring
                refused an item, which the line names.
        """

        def named(key: str, item: N) -> T:
            try:
                return measure(item)
            except PkvError as error:
                raise PkvError(f"{error.cause}, in stage '{stage}' at '{key}'", error.hint) from error

        keys = [key_of(item) for item in items]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise PkvError(f"stage '{stage}' has two items called '{twice}'", "give them wordings or names")
        found: dict[str, T] = {}
        shown: Iterable[tuple[str, N]] = track(
            list(zip(keys, items, strict=True)), description=stage, console=Console(stderr=True)
        )
        for key, item in shown:
            found[key] = self.once(f"{stage}/{key}", lambda key=key, item=item: named(key, item), kind)
        return Stage(found)

    def right_on_both(
        self, stage: str, splits: Mapping[str, Candidates[N]], pairs_of: "Callable[[N], Sequence[Case]]"
    ) -> Kept[N]:
        """The items whose pairs are all decided right on both sides, where the settings ask for them.

        Every candidate is decided with nothing patched, each stored as it is finished, so that competence is
        known of unselected pairs. Without a screen all items are kept and nothing is run.

        Args:
            stage: its name.
            splits: what may be used, by the name of the split.
            pairs_of: the pairs of an item.

        Raises:
            PkvError: too few families have a pair that is right on both sides.
        """
        if not (isinstance(self.settings, ScreenSettings) and self.settings.screened):
            return Kept({split: list(mine.items) for split, mine in splits.items()}, Screened())

        def decide(item: N) -> Decided:
            pairs = [ScreenedPair.of(run_pair(self.engine, case, capture=())) for case in pairs_of(item)]
            return Decided(pairs_of(item)[0].family, item.instance, pairs)

        items = [item for mine in splits.values() for item in mine.items]
        return keep(splits, self.each(stage, items, decide, Decided))

    def control(self, name: str, value: float, expected: float, tolerance: float, detail: str = "") -> None:
        """Note a check with a known answer.

        Args:
            name: of the check, unique in the run.
            value: what was measured.
            expected: the known answer.
            tolerance: how far off it may be.
            detail: of what and on how much, for the reader of the record.

        Raises:
            ControlFailure: it missed that answer; the run ends as an error, and what was measured is kept.
        """
        self.run.note(name, value, expected, tolerance, detail)
        self.run.check_controls()

    def check_engine(self, cases: "Sequence[Case]") -> float:
        """Self-patch, full patch, packed against alone and against plain PyTorch, before anything is swept.

        Args:
            cases: a few, of both ends of what will be measured.

        Returns:
            The noise floor of margins, in logits; it stands in the record as ``margin``.

        Raises:
            ControlFailure: the engine does not do what it says on this model.
        """
        found = self.once(
            "engine checks",
            lambda: check_cases(self.engine, cases, self.tolerance.routers),
            ControlValues,
        )
        self.size = found.size
        allowed, n = self.tolerance, f"{found.untied or len(cases)} cases"
        twin = "logits, against a cache edit in plain PyTorch on the first case"
        made = [
            Check("decode_equals_prefill", found.decode_equals_prefill, 0.0, allowed.logits, f"logits, {n}"),
            Check("batched_equals_single", found.batched_equals_single, 0.0, allowed.logits, f"logits, {n}"),
            Check("packed_equals_sequential", found.packed_equals_sequential, 0.0, allowed.logits, twin),
        ]
        if found.self_patch is not None and found.full_patch is not None:
            over = f"recovery over the vocabulary, {n}"
            made.append(Check("self_patch", found.self_patch, 0.0, allowed.recovery, over))
            made.append(Check("full_patch", found.full_patch, 1.0, allowed.recovery, over))
        else:
            self.run.remarks.append(
                f"in {self.loaded.info.dtype} rounding hides all that clean and corrupt prompts differ by: "
                "no recovery was checked, and none can be known"
            )
        for check in self._without_ties(made, found, len(cases)):
            self.run.note(*check)
        self.run.check_controls()
        self._verify(cases[0])
        return self.set_noise_floor(max(found.noise, self._choose_prefill(cases)))

    def _choose_prefill(self, cases: "Sequence[Case]") -> float:
        """Prefill in bfloat16 from here on where that is asked for and can be trusted on these cases.

        Returns:
            The largest difference of a margin that it makes, in logits; 0 where it is not taken.
        """
        asked = self.settings.prefill_dtype
        if asked == "float32":
            return 0.0
        found = self.once("prefill dtype", lambda: check_half(self.engine, cases), HalfCheck)
        self.run.remarks.append(found.told(asked))
        if not found.chosen(asked):
            return 0.0
        self.engine.prefill_in(NARROW)
        return found.error

    def _without_ties(self, made: list["Check"], found: ControlValues, n: int) -> list["Check"]:
        """What may be judged of the checks where routers tie, and a remark that says so."""
        ties = "a router ties there, so that rounding chooses the experts"
        if found.tied and found.untied:
            self.run.remarks.append(f"{found.tied} of {n} cases are left out of the engine's checks: {ties}")
        if not found.tied or found.untied:
            return made
        failed = [one.name for one in made if not one.passed]
        left = f"; not judged: {', '.join(failed)}" if failed else ""
        self.run.remarks.append(f"no case for the engine's checks is without a tie: {ties}{left}")
        return [one for one in made if one.passed]

    def _verify(self, case: "Case") -> None:
        """The first case again in TransformerLens, on another route from start to end."""
        asked = self.settings.verify
        if asked == "none" or (asked == "auto" and not checked_by_default(self.loaded)):
            return
        found = self.once("bridge", lambda: verify_with_bridge(self.engine, case), BridgeCheck)
        if found.worst is None:
            self.run.remarks.append(f"not verified in TransformerLens: {found.skipped}")
            return
        detail = "logits, the first case and its notes patched, against a TransformerBridge"
        self.control("engine_equals_bridge", found.worst, 0.0, self.tolerance.logits, detail)

    @property
    def spec(self) -> ModelSpec:
        """Shape of the model."""
        return self.loaded.spec

    def set_noise_floor(self, largest_difference: float) -> float:
        """Record the noise floor of margins, given the largest difference of equivalent computations."""
        self.noise_floor["margin"] = noise_floor(largest_difference)
        return self.noise_floor["margin"]
