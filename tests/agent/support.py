"""Episodes on a tiny tokenizer."""

from __future__ import annotations

from typing import Any

from pkv_interp.agent import Design, Episode, EpisodeSizes, episode
from pkv_interp.tasks import families
from tests.families import tiny

DESIGN = Design(starts_at_trigger=True, right_first=True, flipped=False, change=2, back=4)


def one(name: str = "documents", design: Design = DESIGN, turns: int = 4, tokenizer: Any = None) -> Episode:
    return episode(
        families([name])[0],
        0,
        design,
        tiny("llama").tokenizer if tokenizer is None else tokenizer,
        sizes=EpisodeSizes(turns, n_fillers=2, n_preface=2),
        wording="if_otherwise",
        seed=0,
    )
