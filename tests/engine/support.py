"""Models, prompts and rows that the tests of the engine and of its twins run over."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache

import torch

from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import HeadPatch, Knockout, KVPatch, MLPPatch, ResidualEdit, Row
from pkv_interp.models.load import LoadedModel
from tests.families import EAGER_ONLY, FAMILIES, ids_of, tiny

LENGTH = 40
#: Less than half of LENGTH, so that sliding layers lose most of the prompt.
WINDOW = 16
#: Every family, and both kernels where it has two.
KERNELS = [(family, kernel) for family in FAMILIES for kernel in ("eager", "sdpa") if (family, kernel) not in
           {(eager_only, "sdpa") for eager_only in EAGER_ONLY}]  # fmt: skip
EVERYTHING = frozenset({"prefill", "attention"})


@cache
def model_of(family: str, attention: str | None = None, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A tiny model with windows of 16 and random norm weights and biases, so that forgetting them shows."""
    loaded = tiny(family, window=WINDOW, attention=attention)
    model = copy.deepcopy(loaded.model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    torch.nn.Module.to(model, dtype)
    return replace(loaded, model=model)


@dataclass(frozen=True, eq=False)
class Setting:
    """An engine, a base prompt and two donors that differ from it from position 2 and 20 on."""

    loaded: LoadedModel
    engine: Engine
    base: Prefill
    donors: tuple[Prefill, Prefill]


@cache
def setting(family: str, attention: str | None = None, dtype: torch.dtype = torch.float32) -> Setting:
    """The setting of one family, built once."""
    loaded = model_of(family, attention, dtype)
    engine = Engine(loaded)
    base = ids_of(loaded, LENGTH, seed=1)
    # The decision token is the same everywhere, as in a pair of prompts.
    others = [
        [*ids_of(loaded, LENGTH, seed=seed, base=base, start=start)[:-1], base[-1]]
        for seed, start in ((2, 2), (3, 20))
    ]
    first, second = (engine.prefill(ids, EVERYTHING) for ids in others)
    return Setting(loaded, engine, engine.prefill(base, EVERYTHING), (first, second))


def decision_rows(d_model: int) -> list[Row]:
    """Rows of every decision-time kind, and mixes, for a model of at least 3 layers and 4 heads."""
    every = tuple(range(LENGTH - 1))
    up = torch.linspace(-1, 1, d_model)
    return [
        (),
        (KVPatch((5, 6, 30, 36), 0),),
        (KVPatch((38,), 1),),
        (KVPatch((35,), 0, (1,), "K"),),
        (KVPatch((5, 35), 0, (0, 2), "V"),),
        (KVPatch((25, 33), 0, part="K"), KVPatch((33, 34), 1, part="V")),
        (KVPatch(every, 0), KVPatch((34, 36), 1)),
        (KVPatch(every, 0, part="K"),),
        (HeadPatch(1, 2, 0),),
        (HeadPatch(0, 1, 0), HeadPatch(0, 3, 1), HeadPatch(2, 0, 1)),
        (MLPPatch(1, 0),),
        (MLPPatch(0, 1), MLPPatch(2, 0)),
        (Knockout((33, 34, 38)),),
        (Knockout(every, (1,)),),
        (KVPatch((37,), 1), Knockout((37, 36), (0,))),
        (KVPatch((30, 37), 0, (2,)), HeadPatch(1, 1, 1), MLPPatch(0, 0), Knockout((36,), (2,))),
        (ResidualEdit(1, LENGTH - 1, up), ResidualEdit(1, LENGTH - 1, up)),
        (ResidualEdit(0, LENGTH - 1, up, "set"), HeadPatch(2, 2, 0, LENGTH - 1)),
    ]


def prefill_rows(d_model: int) -> list[Row]:
    """Rows that edit the prefill at various positions, some with decision-time edits as well."""
    up, down = torch.linspace(-1, 1, d_model), torch.linspace(1, -2, d_model)
    return [
        (),
        (HeadPatch(1, 2, 0, 30),),
        (HeadPatch(0, 0, 0, 26), HeadPatch(0, 1, 0, 26), HeadPatch(1, 3, 1, 33)),
        (MLPPatch(0, 1, 28),),
        (MLPPatch(1, 0, 37), HeadPatch(2, 0, 0)),
        (ResidualEdit(0, 25, up), ResidualEdit(0, 25, down, "set"), ResidualEdit(0, 25, up)),
        (ResidualEdit(1, 3, up), ResidualEdit(1, 38, down)),
        (ResidualEdit(1, 30, up), KVPatch((3, 28, 35), 0), Knockout((34, 29))),
        (ResidualEdit(1, 30, down), KVPatch((26, 27), 0, part="K"), KVPatch((27, 29), 1, part="V")),
        (Knockout((3, 20, 29), queries=(30, 31)),),
        (Knockout((20, 30, 31), (1,), (29, 30, 32, 33)), HeadPatch(2, 1, 0)),
        (Knockout((33, 36), queries=(34, 37, LENGTH - 1)), KVPatch((5, 35), 0), Knockout((38,))),
        (Knockout((28, 35), (0, 2), tuple(range(29, LENGTH))), ResidualEdit(1, 33, up)),
        (ResidualEdit(0, 0, down),),
    ]
