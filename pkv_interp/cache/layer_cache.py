"""What each layer of a model keeps of a text, in one description: read from its config, checked on forwards.

Nothing else needs to know how an architecture is called. What a layer sees and keeps is measured
(``cache.measured``), what it turns as well (``cache.rotation``), and that a state stands for the tokens
before it (``cache.state_runner``). A window that a config states and no layer applies is none; a layer that
is neither full, sliding nor chunked attention is refused, and to move keys of an unknown rotation is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedModel

from pkv_interp.cache.compute import Runner
from pkv_interp.cache.measured import Held, measured_columns
from pkv_interp.cache.readable import stateful_layers
from pkv_interp.cache.rope import has_alibi, has_learned_positions
from pkv_interp.cache.rotation import Turned, rotations_of
from pkv_interp.cache.window import Chunks, Window
from pkv_interp.errors import PkvError

Kind = Literal["full", "sliding", "chunked", "state", "appended"]
Position = Literal["rotary", "none", "learned", "alibi", "unknown"]


@dataclass(frozen=True)
class LayerCache:
    """What one layer keeps of a text.

    Attributes:
        kind: which columns a token sees: all, a window, its own chunk; "state" for a layer with a recurrent
            or convolutional state, "appended" for any other layer of such a model, whose columns are edited
            no more than the state is.
        window: the same in positions.
        held: heads and widths of what is kept per token; None beside or of a state.
        position: how the position enters a key: by a rotation, not at all, by a learned vector that is mixed
            into every key and value, by a distance that is added to the scores, or in a way that is not
            recognised.
        turned: which coordinates a rotation turns, and how pairs lie; None without one.
        frequencies: number of turned pairs of coordinates.
    """

    kind: Kind
    window: Window = None
    held: Held | None = None
    position: Position = "unknown"
    turned: Turned | None = None
    frequencies: int = 0

    def __str__(self) -> str:
        if self.kind in ("state", "appended"):
            return self.kind
        seen = self.window.size if isinstance(self.window, Chunks) else self.window
        latent = ", latent" if self.held is not None and self.held.latent else ""
        return f"{self.kind}{'' if seen is None else f' {seen}'}{latent}, {self.position}"


@dataclass(frozen=True)
class CacheForm:
    """What a model keeps, and whether it can be moved and edited.

    Attributes:
        layers: in order.
        edits: why tokens inside a cache cannot be run again; None where they can.
        moves: why a cache cannot be moved to other positions; None where it can.
    """

    layers: tuple[LayerCache, ...]
    edits: PkvError | None
    moves: PkvError | None

    def kinds(self) -> tuple[str, ...]:
        """The kinds of layers that there are, each once, in order."""
        return tuple(dict.fromkeys(str(layer) for layer in self.layers))


def cache_form(model: PreTrainedModel) -> CacheForm:
    """What a model keeps, held against forwards of a few tokens.

    Raises:
        PkvError: what the model keeps is not recognised, or does not stand for the tokens before.
    """
    runner = Runner.of(model)
    rotations, moves = None, None
    try:
        rotations = rotations_of(model)
    except PkvError as error:
        moves = error
    edits = _refused(runner)
    if runner.appends_only:
        states = stateful_layers(model)
        n_layers = int(model.config.get_text_config().num_hidden_layers)
        layers = tuple(LayerCache("state" if i in states else "appended") for i in range(n_layers))
        return CacheForm(layers, edits, moves)
    kept = list(zip(runner.windows, measured_columns(model).held, strict=True))
    if rotations is None:
        learned: Position = "learned" if has_learned_positions(model) else "unknown"
        position: Position = "alibi" if has_alibi(model) else learned
        return CacheForm(tuple(LayerCache(_kind(w), w, held, position) for w, held in kept), edits, moves)
    layers = tuple(
        LayerCache(_kind(window), window, held, "none")
        if rotary is None
        else LayerCache(_kind(window), window, held, "rotary", turned, int(rotary.short.shape[0]))
        for (window, held), rotary, turned in zip(kept, rotations.layers, rotations.turned, strict=True)
    )
    return CacheForm(layers, edits, moves)


def _refused(runner: Runner) -> PkvError | None:
    """Why a token inside a cache cannot be run again, if it cannot."""
    if runner.edits_in_place:
        return None
    try:
        runner.recompute(runner.prefill([0]).cache, [0], [0])
    except PkvError as error:
        return error
    return None


def _kind(window: Window) -> Kind:
    return "full" if window is None else "chunked" if isinstance(window, Chunks) else "sliding"
