"""Checks with known answers: splices that must change nothing, and turned keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.keystone.contexts import Cut, Versions, at_own_position, composed
from experiments.keystone.settings import CUTS, EDITED
from pkv_interp.measure.controls import size_of
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.measure.splices import first_keys_apart
from pkv_interp.models.load import LoadedModel

if TYPE_CHECKING:
    from experiments.keystone.settings import KeystoneSettings
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Checks:
    """Errors of what is known, the largest over values, cuts and scenes.

    Attributes:
        own_position: of a splice at its own position, in logits.
        noise: of a prefill in two parts, in logits.
        turned: of the first layer's keys of a composed context, as a share of the largest.
        size: no error but the largest logit, which rounding is a share of.
    """

    own_position: float
    noise: float
    turned: float
    size: float


def check_splices(session: "Session[KeystoneSettings]", scenes: Sequence[EditScene]) -> None:
    """Stop the run where splicing or turning does not do what it says; set the noise floor.

    Args:
        session: of the run.
        scenes: a few.

    Raises:
        ControlFailure: an error is too large.
    """
    loaded = session.loaded
    found = session.once(
        "splice checks", lambda: _worst([check(loaded, one, session.settings.cuts) for one in scenes]), Checks
    )
    session.size = found.size
    allowed = session.tolerance
    logits = f"logits, {len(scenes)} edits on both values"
    keys = "first layer's keys of a composed context against a prefill's, as a share"
    session.control("splice_at_own_position", found.own_position, 0.0, allowed.logits, logits)
    session.control("extend_equals_prefill", found.noise, 0.0, allowed.logits, logits)
    session.control("turned_keys", found.turned, 0.0, allowed.keys, keys)
    session.set_noise_floor(max(found.own_position, found.noise))


def check(loaded: LoadedModel, scene: EditScene, cuts: Mapping[str, Cut] = CUTS) -> Checks:
    """Errors on one scene, with either value of its field.

    Args:
        loaded: the model.
        scene: one edit.
        cuts: the cuts by name.
    """
    versions = Versions.of(loaded, scene)
    found: list[Checks] = []
    for state in (versions.old, versions.new):
        want = state.logits()
        whole = (*state.ids, *state.context.renderer.after(state.suffix()))
        once = state.context.runner.prefill(whole, state.cache.layout).logits
        noise = float((once - want).abs().max())
        for blocks in (EDITED, *cuts.values()):
            own = at_own_position(loaded, state, blocks).logits()
            moved = composed(loaded, state, blocks)
            apart = first_keys_apart(moved.cache, state.cache)
            found.append(Checks(float((own - want).abs().max()), noise, apart, size_of(once)))
    return _worst(found)


def _worst(found: Sequence[Checks]) -> Checks:
    return Checks(
        own_position=max(one.own_position for one in found),
        noise=max(one.noise for one in found),
        turned=max(one.turned for one in found),
        size=max(one.size for one in found),
    )
