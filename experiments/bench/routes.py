"""The sweeps that other libraries are asked for too: their patches, and every route to the same numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, TypeAlias

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Engine, Prefill
from pkv_interp.engine.path import WayPoint, path_effects, way_points
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Intervention, ResidualEdit
from pkv_interp.measure.heads import all_heads
from pkv_interp.measure.pairs import PairRun
from pkv_interp.measure.patching import grid_rows, position_rows
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.peers.peer import Peer

#: The route that the others are compared with.
OURS = "pkv_interp"
#: The sweep that has no patches: a gradient gives all heads at once.
ATTRIBUTION = "attribution"
#: Integrated gradients on activations, as EAP-IG takes them: every layer at so many points of the way.
INTEGRATED, STEPS = "integrated_attribution", 5

#: One cell of a sweep.
Cell: TypeAlias = Intervention | WayPoint


@dataclass(frozen=True)
class Work:
    """One sweep.

    Attributes:
        name: of it.
        rows: its patches, or points on the way to the donor, all of one kind; none for attribution.
    """

    name: str
    rows: tuple[Cell, ...]

    @property
    def kind(self) -> type[Any]:
        """Of its rows."""
        return type(self.rows[0])


@dataclass(frozen=True)
class PeerTool:
    """A library that was asked for.

    Attributes:
        name: of the route.
        tool: of the library.
        version: that is installed; None where it is not.
        absent: why it could not be used; None where it was.
    """

    name: str
    tool: str
    version: str | None
    absent: str | None


class Route(Protocol):
    """One way to a sweep's numbers: what of it is done once for a prompt, and what for the patches."""

    name: str
    batch: int
    cached: bool

    def open(self, ids: Sequence[int], work: Work) -> Any:
        """The prompt that is patched, as the work needs it."""
        ...

    def sweep(self, base: Any, rows: Sequence[Any], pair: PairRun) -> Float[np.ndarray, "rows *heads"]:
        """Margins under each patch; at each point on the way, effects of its layer's heads."""
        ...

    def attribute(self, base: Any, pair: PairRun) -> Float[np.ndarray, "L H"] | None:
        """First-order effects of heads."""
        ...


def works(pair: PairRun, engine: Engine) -> list[Work]:
    """Heads at the decision, KV by position and by (layer, position), the residual stream, attribution twice.

    Args:
        pair: its clean prompt run with capture "prefill".
        engine: of the model.
    """
    n_layers = engine.spec.n_layers
    after = pair.clean.take("resid_all", slice(1, None))
    residuals = [ResidualEdit(la, p, after[la, p], "set") for la in range(n_layers) for p in pair.notes]
    return [
        Work("head_sweep", tuple(HeadPatch(layer, head, 0) for layer, head in all_heads(engine.spec))),
        Work("position_sweep", tuple(row[0] for row in position_rows(pair))),
        Work("grid", tuple(row[0] for row in grid_rows(pair, n_layers))),
        Work("residual_grid", tuple(residuals)),
        Work(ATTRIBUTION, ()),
        Work(INTEGRATED, way_points(n_layers, STEPS)),
    ]


class EngineRoute:
    """The packed engine: every row of a call at once."""

    name, batch, cached = OURS, 0, True

    def __init__(self, engine: Engine) -> None:
        """Of this engine."""
        self.engine = engine

    def open(self, ids: Sequence[int], work: Work) -> Prefill:
        """The prompt's own prefill; nothing is shared with the clean prompt's.

        Residuals of all tokens are kept where the work runs tokens again, which then start above the patch.
        """
        reruns = bool(work.rows) and work.kind is ResidualEdit
        return self.engine.prefill(ids, {"prefill"} if reruns else frozenset())

    def sweep(self, base: Any, rows: Sequence[Any], pair: PairRun) -> Float[np.ndarray, "rows *heads"]:
        """As the route, packed."""
        given, ids = [(row,) for row in rows], pair.case.action_ids
        if isinstance(rows[0], WayPoint):
            return path_effects(self.engine, base, pair.clean, rows, ids).cpu().numpy()
        run = self.engine.rerun if isinstance(rows[0], ResidualEdit) else self.engine.decode
        logits = run(base, given, (pair.clean,), ids).logits
        return (logits[:, 0] - logits[:, 1]).cpu().numpy()

    def attribute(self, base: Any, pair: PairRun) -> Float[np.ndarray, "L H"] | None:
        """First-order effects of heads; those of KV and MLPs come with them and are not used."""
        return self.engine.attribute(base, pair.clean, pair.case.action_ids).heads.cpu().numpy()


class PeerRoute:
    """A peer as a route."""

    def __init__(self, peer: Peer) -> None:
        """Of this peer."""
        self.peer, self.name, self.batch, self.cached = peer, peer.name, peer.batch, peer.cached

    def takes(self, work: Work) -> bool:
        """Whether the peer can express the sweep's patches exactly."""
        return not work.rows or work.kind in self.peer.takes

    def open(self, ids: Sequence[int], work: Work) -> Any:
        """The prompt as the peer holds it, whatever the work."""
        del work
        return self.peer.open(ids)

    def sweep(self, base: Any, rows: Sequence[Any], pair: PairRun) -> Float[np.ndarray, "rows *heads"]:
        """As the route."""
        if isinstance(rows[0], WayPoint):
            return self.peer.path_effects(base, rows, pair.clean, pair.case.action_ids).cpu().numpy()
        return self.peer.sweep(base, rows, pair.clean, pair.case.action_ids).cpu().numpy()

    def attribute(self, base: Any, pair: PairRun) -> Float[np.ndarray, "L H"] | None:
        """First-order effects of heads."""
        found = self.peer.attribute(base, pair.clean, pair.case.action_ids)
        return None if found is None else found.cpu().numpy()


def peer_routes(loaded: LoadedModel, prompts: int, batch: int) -> tuple[list[PeerRoute], list[PeerTool]]:
    """Every peer that can be used with this model, and of every one whether it can.

    Args:
        loaded: the model.
        prompts: whole prompts that nnsight runs in one trace.
        batch: cached prefixes that it decodes over in one trace.
    """
    from pkv_interp.reference.peers.lens import LensCachedPeer, LensPeer
    from pkv_interp.reference.peers.traces import InvokeCachedPeer, InvokePeer, TraceCachedPeer, TracePeer
    from pkv_interp.reference.peers.vene import VenePeer

    shared: list[Any] = []

    def lens() -> Peer:
        shared.append(LensPeer(loaded))
        return shared[0]

    def lens_cached() -> Peer:
        return LensCachedPeer(loaded, shared[0].bridge if shared else None)

    made: list[tuple[type[Peer], Callable[[], Peer]]] = [
        (LensPeer, lens),
        (LensCachedPeer, lens_cached),
        (TracePeer, lambda: TracePeer(loaded)),
        (InvokePeer, lambda: InvokePeer(loaded, prompts)),
        (TraceCachedPeer, lambda: TraceCachedPeer(loaded)),
        (InvokeCachedPeer, lambda: InvokeCachedPeer(loaded, batch)),
        (VenePeer, lambda: VenePeer(loaded)),
    ]
    routes, tools = [], []
    for kind, make in made:
        absent = None
        try:
            routes.append(PeerRoute(make()))
        except PkvError as error:
            absent = error.cause
        except Exception as error:
            # Another library raises whatever it runs into on a model that it was not written for.
            absent = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        tools.append(PeerTool(kind.name, kind.tool, _version(kind.tool), absent))
    return routes, tools


def _version(tool: str) -> str | None:
    try:
        return version(tool)
    except PackageNotFoundError:
        return None
