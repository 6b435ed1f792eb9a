"""What tokens tell in training beside answers: picture tokens of their cells, words of what they name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pkv_interp.pictures.scenes import SIDE, Scene
from pkv_interp.pictures.words import COLOURS, NUMBERS, ORDINALS, PLACES, SHAPES, VOCABULARY

#: Words of a cell's shape and colour, and of its quarter and of how many things there are up to it.
_SEEN: tuple[tuple[str, ...], ...] = (SHAPES, COLOURS)
_PLACED: tuple[tuple[str, ...], ...] = (PLACES, NUMBERS)
#: Most cells are empty, which is soon learned.
_EMPTY = 0.2


class CellReader(nn.Module):
    """What a picture token says of its cell, in the words of the model; used in training, and left out of it.

    Shapes, colours, quarters and numbers are read by the embeddings of their words. So a picture token comes
    to hold what the words for it are, and a question's word finds it by being alike.

    Args:
        d_model: width of the model.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.large = nn.Linear(d_model, 2)
        self.grid = nn.Linear(d_model, 2 * SIDE)
        self.named = nn.Linear(d_model, 2 * SIDE)
        self.nothing = nn.Parameter(torch.zeros(len(_SEEN)))
        self.scale = nn.Parameter(torch.full((len(_SEEN) + len(_PLACED) + 1,), 5.0))

    def forward(
        self, tokens: Float[Tensor, "n d"], words: Float[Tensor, "vocab d"]
    ) -> tuple[Float[Tensor, "n _"], ...]:
        """Logits of shape, colour and size of each cell, from what the tower makes of it."""
        found = []
        for at, names in enumerate(_SEEN):
            said = _said(tokens, words, names) * self.scale[at]
            nothing = self.nothing[at].expand(len(tokens), 1)
            found.append(torch.cat([nothing, said], 1))
        return (*found, self.large(tokens).float())

    def places(
        self, hidden: Float[Tensor, "n d"], words: Float[Tensor, "vocab d"]
    ) -> tuple[Float[Tensor, "n _"], ...]:
        """Logits of row, column, quarter and things so far, from the text stack after its first blocks."""
        rows, columns = self.grid(hidden).float().split(SIDE, dim=-1)
        scales = self.scale[len(_SEEN) :]
        said = [
            _said(hidden, words, names) * scale for names, scale in zip(_PLACED, scales[:-1], strict=True)
        ]
        return (rows, columns, *said)

    def orders(
        self, hidden: Float[Tensor, "n d"], words: Float[Tensor, "vocab d"]
    ) -> Float[Tensor, "n pictures"]:
        """Logits of which of two pictures a token is of or asks about, after the same blocks."""
        return _said(hidden, words, ORDINALS) * self.scale[-1]


def _said(
    vectors: Float[Tensor, "n d"], words: Float[Tensor, "vocab d"], names: Sequence[str]
) -> Float[Tensor, "n names"]:
    """How much vectors are like the embeddings of some words."""
    return (vectors @ words[[VOCABULARY.index(name) for name in names]].T).float()


def cells(scenes: Sequence[Scene]) -> Int[Tensor, "n 3"]:
    """Classes of every cell of all pictures, in the order of the tower's tokens."""
    told = torch.zeros(len(scenes), SIDE * SIDE, 3, dtype=torch.long)
    for at, scene in enumerate(scenes):
        for thing in scene.things:
            told[at, thing.cell] = torch.tensor(
                (1 + SHAPES.index(thing.shape), 1 + COLOURS.index(thing.colour), int(thing.large))
            )
    return told.view(-1, 3)


def cell_loss(
    reader: CellReader,
    tokens: Float[Tensor, "n d"],
    words: Float[Tensor, "vocab d"],
    told: Int[Tensor, "n 3"],
) -> tuple[Float[Tensor, ""], float]:
    """Cross-entropy of what the cells hold, and the share of things whose shape and colour are read."""
    right = told[:, 0] > 0
    things, losses = int(right.sum()), []
    for at, logits in enumerate(reader(tokens, words)):
        weight = torch.ones(logits.shape[-1])
        if at < len(_SEEN):
            weight[0] = _EMPTY
            right = right & (logits.argmax(-1) == told[:, at])
        losses.append(nn.functional.cross_entropy(logits, told[:, at], weight=weight))
    return torch.stack(losses).sum(), int(right.sum()) / max(1, things)


def place_loss(
    reader: CellReader,
    hidden: Float[Tensor, "n d"],
    words: Float[Tensor, "vocab d"],
    told: Int[Tensor, "n 3"],
) -> Float[Tensor, ""]:
    """Cross-entropy of where each cell is, and of how many things there are up to it in reading order."""
    cell = torch.arange(SIDE * SIDE).repeat(len(told) // SIDE**2)
    so_far = (told[:, 0] > 0).view(-1, SIDE * SIDE).cumsum(1).view(-1)
    rows, columns = cell // SIDE, cell % SIDE
    quarter = 2 * (rows >= SIDE // 2).long() + (columns >= SIDE // 2).long()
    wanted = (rows, columns, quarter, so_far)
    losses = [
        nn.functional.cross_entropy(logits, right)
        for logits, right in zip(reader.places(hidden, words), wanted, strict=True)
    ]
    return torch.stack(losses).sum()


def name_loss(
    reader: CellReader, hidden: Float[Tensor, "n d"], told: Int[Tensor, " n"]
) -> tuple[Float[Tensor, ""], float]:
    """Cross-entropy of the row and column of the thing that a word names, and the share that is read right.

    Args:
        reader: reads them.
        hidden: the text stack at these words, after some blocks.
        told: the cells.
    """
    wanted = (told // SIDE, told % SIDE)
    logits = reader.named(hidden).float().split(SIDE, dim=-1)
    of = max(1, len(told))
    losses = [
        nn.functional.cross_entropy(one, right, reduction="sum") / of
        for one, right in zip(logits, wanted, strict=True)
    ]
    right = [one.argmax(-1) == each for one, each in zip(logits, wanted, strict=True)]
    return torch.stack(losses).sum(), int((right[0] & right[1]).sum()) / of


def order_loss(
    reader: CellReader,
    hidden: Float[Tensor, "n d"],
    words: Float[Tensor, "vocab d"],
    told: Int[Tensor, " n"],
) -> tuple[Float[Tensor, ""], float]:
    """Cross-entropy of which of two pictures tokens are about, and the share that tell it right; 0 of none.

    Args:
        reader: reads it.
        hidden: the text stack after its first blocks, at picture tokens and at words that ask about one.
        words: embeddings of the vocabulary.
        told: 0 or 1.
    """
    logits, of = reader.orders(hidden, words), max(1, len(told))
    loss = nn.functional.cross_entropy(logits, told, reduction="sum") / of
    return loss, int((logits.argmax(-1) == told).sum()) / of
