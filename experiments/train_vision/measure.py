"""What the picture model's training measures: the finished model on held-out pictures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.train_vision.fitting import fit
from experiments.train_vision.judging import Answered, judge, questions
from experiments.train_vision.settings import TrainVisionSettings
from pkv_interp.measure.picture_splices import own_forward_error
from pkv_interp.models.load_vision import load_trained
from pkv_interp.pictures.drawing import PIXELS
from pkv_interp.pictures.generators import GENERATORS
from pkv_interp.pictures.items import Item, items, names_of
from pkv_interp.pictures.scenes import placed_things
from pkv_interp.run.stage import Stage
from pkv_interp.tolerances import tolerance_of

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        answers: of the finished model, by question.
        history: losses and accuracies of each training step.
    """

    answers: Stage[Answered]
    history: list[dict[str, float]]


def measure(session: "Session[TrainVisionSettings]") -> Measured:
    """Train or finish training, then judge what came of it; or judge a model as it is."""
    settings = session.settings
    asked = questions(settings)
    # Not a stage: the training keeps its own checkpoint and goes on from any step.
    history = fit(settings)
    loaded = load_trained(settings.model, settings.model_dir)
    session.describe(loaded)
    _check_splits(session, [one.item for one in asked])
    own = own_forward_error(loaded, asked[0].item, PIXELS)
    allowed = tolerance_of(session.info.dtype).logits
    session.control("runner_equals_own_forward", own, 0.0, allowed, "logits, the first question")
    return Measured(session.each("answers", asked, lambda one: judge(loaded, one), Answered), history)


def _check_splits(session: "Session[TrainVisionSettings]", held_out: list[Item]) -> None:
    """No placed thing is in both splits, and no held-out picture among as many of the training's."""
    both = set(placed_things("train")) & set(placed_things("held_out"))
    session.control("splits_share_no_thing", len(both), 0, 0, "things at their places")
    drawn = items(list(GENERATORS), session.settings.pictures, split="train", seed=session.settings.seed)
    shared = names_of(held_out) & names_of(drawn)
    session.control("splits_share_no_picture", len(shared), 0, 0, f"pictures, {len(drawn)} of the training's")
