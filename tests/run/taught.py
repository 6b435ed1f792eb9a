"""A tiny model on disk that decides chosen pairs right and others wrong, by its unembedding alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.models.tiny import tiny_model
from pkv_interp.tasks import Case

#: Margin of every taught prompt, in logits.
MARGIN = 2.0


def taught(directory: Path, pairs: Sequence[tuple[Case, bool, bool]], seed: int = 0) -> ModelConfig:
    """Save a tiny Llama that is right or wrong on the clean and on the corrupt prompt of each pair, as asked.

    Only the rows of the actions in the unembedding differ from the random model: hidden states are what they
    were, and the smallest change that gives every margin its sign is solved for.
    """
    model, tokenizer = tiny_model("llama", seed)
    head: Any = model.get_output_embeddings()
    assert head.weight is not model.get_input_embeddings().weight
    tokens = sorted({token for case, _, _ in pairs for token in case.action_ids})
    lines, wanted = [], []
    for case, *right in pairs:
        first, second = case.action_ids
        for prompt, sign, ok in zip((case.clean, case.corrupt), (1.0, -1.0), right, strict=True):
            with torch.no_grad():
                out: Any = model(torch.tensor([prompt.ids]), output_hidden_states=True)
            state = out.hidden_states[-1][0, -1].double().numpy()
            line = np.zeros((len(tokens), len(state)))
            line[tokens.index(first)], line[tokens.index(second)] = state, -state
            lines.append(line.ravel())
            now = float(out.logits[0, -1, first] - out.logits[0, -1, second])
            wanted.append((sign if ok else -sign) * MARGIN - now)
    change = np.linalg.lstsq(np.stack(lines), np.array(wanted), rcond=1e-9)[0].reshape(len(tokens), -1)
    with torch.no_grad():
        head.weight[tokens] += torch.from_numpy(change).float()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return load_catalogue_entry("local", path=str(directory), device="cpu", dtype="float32")
