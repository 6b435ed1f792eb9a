"""Sparse features clamped in the prefill of held-out quads."""

from dataclasses import dataclass

from experiments.controls.features import PLACES, Features, Where
from experiments.controls.probing import residual_places
from experiments.controls.ranking import NoteRanking
from experiments.controls.settings import ControlsSettings
from experiments.controls.steering import CLEAN, CORRUPT, steered
from pkv_interp.engine import Engine
from pkv_interp.measure.residuals import QuadResiduals
from pkv_interp.streams import stream
from pkv_interp.tasks.quads import Quad


@dataclass(frozen=True)
class Clamps:
    """Margins of a held-out quad by arm: features clamped in its corrupt prompt, and in its clean one."""

    into: dict[str, float]
    out: dict[str, float]


@dataclass(frozen=True)
class ClampedQuad:
    """A held-out quad with features clamped at its strongest position, and at all aggregators."""

    strongest: Clamps
    all: Clamps


def clamp(
    engine: Engine,
    quad: Quad,
    plan: NoteRanking,
    streams: QuadResiduals,
    features: Features,
    settings: ControlsSettings,
) -> ClampedQuad:
    """On a held-out quad: features clamped to the other conclusion's activations, through the decoder.

    ``full`` is the prompt's own whole difference at the same places: the most that a feature could carry.

    Args:
        engine: of the model.
        quad: of a held-out family.
        plan: names the places.
        streams: residual streams of all quads at `residual_places`.
        features: trained on discovery families.
        settings: sizes.
    """
    case, layer = quad.polarity, features.layer
    clean, corrupt = streams.cell(quad, layer, CLEAN), streams.cell(quad, layer, CORRUPT)

    def at(where: Where) -> Clamps:
        rng = stream(settings.seed, "controls", "random features", where, quad.instance)
        chosen, ranked = PLACES[where], features.ranked[where]
        yes, no = clean[chosen], corrupt[chosen]
        into, out = {"full": yes - no}, {"full": no - yes}
        for k in settings.sae_top:
            top, random = ranked.best(k), ranked.random_others(k, rng)
            into[f"top{k}"] = features.coder.clamp(no, top, ranked.yes)
            out[f"top{k}"] = features.coder.clamp(yes, top, ranked.no)
            if random:  # too few other active features: no control of this size exists
                into[f"random{k}"] = features.coder.clamp(no, random, ranked.yes)
        places = residual_places(quad, plan)[chosen]
        return Clamps(
            steered(engine, case, case.corrupt, places, layer, into),
            steered(engine, case, case.clean, places, layer, out),
        )

    return ClampedQuad(at("strongest"), at("all"))
