"""Pictures as a language model reads them: what the vision tower makes of each, and where its tokens stand.

A vision-language model puts the tower's vectors in the place of the embeddings of some tokens. With M-RoPE
(Qwen2.5-VL, Qwen3-VL) every token has a position on three axes. On text they are equal. The tokens of a
picture share the position of its first one on the time axis, and count rows and columns from there on the
other two; the text after it goes on after the longer of the two sides. All three begin at the same number,
so a picture that is moved is turned by one angle per frequency, as text is.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.errors import RAISED_BY_MODELS, PkvError


@dataclass(frozen=True, eq=False)
class Picture:
    """What a model's vision tower makes of one picture; ``look`` makes them.

    Attributes:
        tokens: Float[n, d_model], which stand for the picture in the text.
        deep: Float[n, d_model] each, added after the first blocks (DeepStack, Qwen3-VL).
        grid: rows and columns of the tokens; None where they are numbered as text is.
    """

    tokens: Float[Tensor, "n d_model"]
    deep: tuple[Float[Tensor, "n d_model"], ...] = ()
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Pictured:
    """Where the columns of a cache stand, and the vectors behind those that are of pictures.

    Attributes:
        places: Int[3, T], position on the axes of time, height and width.
        shown: Bool[T], the columns that are of pictures.
        tokens: Float[n, d_model], of those, in order.
        deep: as in ``Picture``, of the same.
        end: position of the token after the last column.
    """

    places: Int[Tensor, "3 T"]
    shown: Bool[Tensor, " T"]
    tokens: Float[Tensor, "n d_model"]
    deep: tuple[Float[Tensor, "n d_model"], ...]
    end: int

    @classmethod
    def text(cls, start: int, n: int, like: Tensor) -> Pictured:
        """``n`` tokens of text from position ``start`` on.

        Args:
            start: position of the first.
            n: how many.
            like: vectors of the model's width, dtype and device.
        """
        places = torch.arange(start, start + n, device=like.device).expand(3, -1)
        return cls(places, torch.zeros(n, dtype=torch.bool, device=like.device), like[:0], (), start + n)

    @property
    def length(self) -> int:
        """Number of columns."""
        return self.places.shape[1]

    def slice(self, start: int, stop: int) -> Pictured:
        """Columns ``start`` to ``stop`` (half open), where they stand."""
        end = self.end if stop == self.length else int(self.places[0, stop])
        return self._picked(slice(start, stop), end)

    def columns(self, at: Int[Tensor, " n"]) -> Pictured:
        """The columns ``at``; those past the last one are text."""
        past = at >= self.length
        if not bool(past.any()):
            return self._picked(at, self.end)
        inside = self._picked(at[~past], self.end)
        places = (at[past] - self.length + self.end).expand(3, -1)
        return Pictured(
            torch.cat([inside.places, places], 1),
            torch.cat([inside.shown, torch.zeros_like(at[past], dtype=torch.bool)]),
            inside.tokens,
            inside.deep,
            self.end,
        )

    def _picked(self, columns: Any, end: int) -> Pictured:
        rows = (self.shown.cumsum(0) - 1)[columns][self.shown[columns]]
        return Pictured(
            self.places[:, columns],
            self.shown[columns],
            self.tokens[rows],
            tuple(one[rows] for one in self.deep),
            end,
        )

    def moved(self, delta: int) -> Pictured:
        """The same ``delta`` positions further on, on all axes."""
        return Pictured(self.places + delta, self.shown, self.tokens, self.deep, self.end + delta)


def joined_pictures(parts: Sequence[Pictured]) -> Pictured:
    """Columns side by side, each where it stands."""
    deep = next((part.deep for part in parts if part.deep), ())
    return Pictured(
        torch.cat([part.places for part in parts], 1),
        torch.cat([part.shown for part in parts]),
        torch.cat([part.tokens for part in parts]),
        tuple(torch.cat([part.deep[i] for part in parts if part.deep]) for i in range(len(deep))),
        parts[-1].end,
    )


def place(
    ids: Sequence[int], pictures: Sequence[Picture], token: int, start: int, used: int, like: Tensor
) -> Pictured:
    """Where tokens stand that come after others, and what stands for those of pictures.

    Args:
        ids: the tokens.
        pictures: all of the context, in order.
        token: the id that stands for a picture's tokens.
        start: position of the first of ``ids``.
        used: tokens of pictures that stand before ``ids``.
        like: vectors of the model's width, dtype and device.

    Raises:
        PkvError: more or fewer picture tokens than the pictures have, or a picture that is cut in two.
    """
    waiting = list(pictures)
    while waiting and used >= len(waiting[0].tokens):
        used -= len(waiting.pop(0).tokens)
    places: list[tuple[int, int, int]] = []
    given: list[Picture] = []
    at, index = start, 0
    while index < len(ids):
        if ids[index] != token:
            places.append((at, at, at))
            at, index = at + 1, index + 1
            continue
        if not waiting:
            raise PkvError(
                f"there are more picture tokens than the {len(pictures)} pictures have",
                "give every picture of the context, in order",
            )
        picture = waiting[0]
        if picture.grid is None:  # its tokens are numbered as text is, and text may stand among them
            given.append(
                Picture(picture.tokens[used : used + 1], tuple(d[used : used + 1] for d in picture.deep))
            )
            places.append((at, at, at))
            at, index, used = at + 1, index + 1, used + 1
        else:
            n, (rows, columns) = len(picture.tokens), picture.grid
            if used or list(ids[index : index + n]) != [token] * n:
                raise PkvError(
                    f"a picture of {n} tokens is cut in two, or has fewer tokens in the text",
                    "write each picture's tokens side by side, and cut before or after them",
                )
            places += [(at, at + row, at + column) for row in range(rows) for column in range(columns)]
            given.append(picture)
            at, index, used = at + max(rows, columns), index + n, n
        if used == len(picture.tokens):
            waiting.pop(0)
            used = 0
    shown = torch.tensor([one == token for one in ids], dtype=torch.bool, device=like.device)
    deep = given[0].deep if given else ()
    return Pictured(
        torch.tensor(places, dtype=torch.long, device=like.device).reshape(-1, 3).T,
        shown,
        torch.cat([like[:0], *(one.tokens for one in given)]),
        tuple(torch.cat([one.deep[i] for one in given]) for i in range(len(deep))),
        at,
    )


def picture_token(model: PreTrainedModel) -> int | None:
    """The id that stands for a picture's tokens; None of a model that takes no pictures."""
    config: Any = model.config
    named = getattr(config, "image_token_id", None)
    found = getattr(config, "image_token_index", None) if named is None else named
    return None if found is None or not hasattr(model, "get_image_features") else int(found)


def has_three_axes(model: PreTrainedModel) -> bool:
    """Whether tokens have positions in time, height and width (M-RoPE)."""
    stated = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    return "mrope_section" in stated


@torch.no_grad()
def look(model: PreTrainedModel, **seen: Tensor) -> tuple[Picture, ...]:
    """What the vision tower makes of some pictures.

    Args:
        model: a vision-language model in eval mode.
        **seen: what the model's processor gives of the pictures: ``pixel_values`` with ``image_grid_thw``
            (Qwen), or with ``pixel_attention_mask`` (Idefics3, SmolVLM).

    Raises:
        PkvError: a model without a vision tower, or one whose picture tokens see each other both ways; or
            tensors that the tower does not take.
    """
    core: Any = getattr(model, "model", model)
    name = type(model).__name__
    if picture_token(model) is None:
        raise PkvError(f"{name} takes no pictures", "load the whole vision-language model")
    if "token_type_ids" in inspect.signature(model.forward).parameters:
        raise PkvError(
            f"the picture tokens of {name} see those after them, so a cache does not stand for a prefix",
            "use a model that reads pictures from left to right",
        )
    device = model.device
    try:
        out = core.get_image_features(
            **{key: value.to(device) for key, value in seen.items()}, return_dict=True
        )
    except RAISED_BY_MODELS as error:
        raise PkvError(
            f"the vision tower of {name} does not take these pictures: {error}",
            "give what the model's processor makes of them",
        ) from error
    dtype = model.get_input_embeddings().weight.dtype
    found = [one.reshape(-1, one.shape[-1]).to(dtype) for one in out.pooler_output]
    layers: Any = getattr(out, "deepstack_features", None) or []
    grids: list[tuple[int, int] | None] = [None] * len(found)
    if has_three_axes(model):
        merge = int(model.config.vision_config.spatial_merge_size)
        thw = seen["image_grid_thw"].tolist()
        if any(frames != 1 for frames, _, _ in thw):
            raise PkvError("pictures of several frames were given", "give still pictures")
        grids = [(height // merge, width // merge) for _, height, width in thw]
    return tuple(
        Picture(tokens, tuple(layer[at].to(dtype) for layer in layers), grid)
        for at, (tokens, grid) in enumerate(zip(found, grids, strict=True))
    )
