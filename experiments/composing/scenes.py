"""What is done to one scene: chunks are spliced and repaired, and each decision compared with a prefill's."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from experiments.composing.cases import Scene
from experiments.composing.spliced import Arms, SplicedPrompt
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import Chunk
from pkv_interp.measure.decision import token_margin
from pkv_interp.measure.splices import Distance, distance


@dataclass(frozen=True)
class Side:
    """One prompt of a scene under all its arms.

    Attributes:
        name: ``"match"`` (the field has the trigger's value) or ``"mismatch"``.
        gold: 0 where the first action is right, 1 where it is the second.
        margin: of the full prefill, first action minus second, in logits.
        top_token_right: the full prefill's first token is the right action.
        gold_first_in_menu: the prompt's question names the right action first.
        arms: by name.
    """

    name: str
    gold: int
    margin: float
    top_token_right: bool
    gold_first_in_menu: bool
    arms: dict[str, Distance]

    def towards_gold(self, margin: float) -> float:
        """A margin of this prompt, positive where the right action is taken."""
        return margin if self.gold == 0 else -margin

    @property
    def right(self) -> bool:
        """Whether the full prefill takes the right action."""
        return self.towards_gold(self.margin) > 0


@dataclass(frozen=True)
class SceneResult:
    """A scene, as a summary needs it, and both of its sides.

    Attributes:
        family, split, instance, wording: of the case.
        tokens: of the prompt.
        moved: positions by which the first chunk is moved.
        chunks: tokens of each chunk.
        sides: match, then mismatch.
    """

    family: str
    split: str
    instance: str
    wording: str
    tokens: int
    moved: int
    chunks: list[int]
    sides: tuple[Side, Side]


def measure_scene(
    runner: Runner, tokenizer: PreTrainedTokenizerBase, scene: Scene, wanted: Arms
) -> SceneResult:
    """Both sides of a scene under every arm.

    Args:
        runner: of the model.
        tokenizer: of the model.
        scene: to measure.
        wanted: arms.
    """
    case, made = scene.case, dict[tuple[int, ...], Chunk]()

    def side(at: int) -> Side:
        name, prompt = scene.sides[at]
        spliced = SplicedPrompt(runner, tokenizer, prompt.ids, scene.spans, made)
        other = scene.sides[1 - at][1].ids[: spliced.start]
        full = spliced.full.logits
        return Side(
            name=name,
            gold=at,
            margin=float(token_margin(full, case.action_ids)),
            top_token_right=int(full.argmax()) == case.action_ids[at],
            gold_first_in_menu=_first(prompt.text, case.actions) == at,
            arms={
                arm: distance(spliced.decide(cache()), full, case.action_ids)
                for arm, cache in spliced.arms(wanted, other).items()
            },
        )

    return SceneResult(
        family=case.family,
        split=case.split,
        instance=case.instance,
        wording=case.wording,
        tokens=len(case.clean),
        moved=scene.spans[0][0],
        chunks=[stop - start for start, stop in scene.spans],
        sides=(side(0), side(1)),
    )


def _first(text: str, actions: Sequence[str]) -> int:
    """Which action the prompt's question names first."""
    asked = text[text.rindex("Answer with one word") :]
    return int(asked.index(actions[1]) < asked.index(actions[0]))
