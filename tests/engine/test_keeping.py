"""Captures that are kept on the host: read from there, and never mixed with what lies on the device."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from pkv_interp.engine import Prefill, half, prefill
from pkv_interp.engine.keeping import capture_bytes, kept_on
from pkv_interp.interventions import HeadPatch, MLPPatch, Row
from pkv_interp.measure.deviation import output_error
from tests.engine.support import EVERYTHING, prefill_rows, setting
from tests.families import FAMILIES

_KEPT = ("z_all", "mlp_all", "resid_all", "resid_mid_all")


class Elsewhere(torch.Tensor):
    """A tensor on another device, as far as that can be played on a CPU: only ``to`` brings it here."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.to:
            return args[0].as_subclass(Tensor).to(*args[1:], **(kwargs or {}))
        if func is not Tensor.__getitem__ and any(_is_here(one) for one in _flat(args)):
            raise RuntimeError(f"{func} was given tensors on two devices")
        return super().__torch_function__(func, types, args, kwargs or {})


def _flat(found: Any) -> Iterator[Any]:
    for one in found:
        if isinstance(one, list | tuple):
            yield from _flat(one)
        else:
            yield one


def _is_here(one: Any) -> bool:
    return isinstance(one, Tensor) and not isinstance(one, Elsewhere) and one.ndim > 0


def elsewhere(run: Prefill) -> Prefill:
    """The prompt with what was captured at every position kept on that other device."""
    return replace(run, **{name: run.need(name).as_subclass(Elsewhere) for name in _KEPT})


def test_the_stand_in_refuses_what_two_devices_would() -> None:
    far, here = torch.ones(3).as_subclass(Elsewhere), torch.ones(3)
    with pytest.raises(RuntimeError, match="two devices"):
        _ = far + here
    with pytest.raises(RuntimeError, match="two devices"):
        torch.stack([far, here])
    assert type(far.to(here.device) + here) is Tensor


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_the_same_wherever_captures_are_kept(family: str) -> None:
    it = setting(family)
    base, donors = elsewhere(it.base), [elsewhere(donor) for donor in it.donors]
    mixed: list[Row] = [*prefill_rows(it.loaded.spec.d_model), (HeadPatch(1, 0, 0),), (MLPPatch(0, 1),)]
    stacked: list[Row] = [(HeadPatch(layer, head, 0, 30),) for layer in (1, 2) for head in (0, 2)]
    late: list[Row] = [(HeadPatch(1, 0, 0, 30),), (MLPPatch(2, 1, 33),)]
    for rows in (mixed, stacked, late):
        here = it.engine.rerun(it.base, rows, it.donors).logits
        assert torch.equal(it.engine.rerun(base, rows, donors).logits, here)


def test_what_modules_wrote_and_queries_read_is_found_there_too() -> None:
    it = setting("qwen3")
    for here, there in zip(
        it.engine.written(it.base, [2, 20]), it.engine.written(elsewhere(it.base), [2, 20]), strict=True
    ):
        assert torch.equal(here, there)
    run = it.engine.prefill(it.base.ids, {*EVERYTHING, "queries"})
    assert output_error(it.engine, elsewhere(run)) == output_error(it.engine, run)


def test_every_capture_goes_to_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    it, told, plain = setting("llama"), torch.device("cpu", 0), prefill._keep
    went: list[torch.device] = []

    def keep(activation: Tensor, everywhere: bool, device: torch.device) -> Tensor:
        went.append(device)
        return plain(activation, everywhere, device)

    monkeypatch.setattr(prefill, "_keep", keep)
    monkeypatch.setattr(half, "kept_on", lambda *_: told)
    it.engine.prefill(it.base.ids, {"prefill"})
    assert len(went) == 4 * it.engine.spec.n_layers + 1
    assert set(went) == {told}
    went.clear()
    it.engine.prefill(it.base.ids)  # the decision's own activations stay where the model is
    assert set(went) == {it.base.logits.device}


@pytest.mark.parametrize(("room", "device"), [(6, "cuda"), (4, "cpu")])
def test_a_gpu_without_room_for_captures_keeps_them_on_the_host(
    monkeypatch: pytest.MonkeyPatch, room: int, device: str
) -> None:
    spec, like = (
        setting("llama").engine.spec,
        SimpleNamespace(device=torch.device("cuda"), element_size=lambda: 2),
    )
    free = room * capture_bytes(spec, 100, 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
    assert kept_on(spec, 100, like).type == device  # pyright: ignore[reportArgumentType]


def test_a_cpu_has_no_other_place() -> None:
    it = setting("llama")
    assert kept_on(it.engine.spec, 10**9, it.base.logits) == it.base.logits.device
