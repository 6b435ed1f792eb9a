"""The identity of a set of weights."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weight_sha256(model: nn.Module) -> str:
    """sha256 over names, dtypes, shapes and bytes of the state dict, in the order of the names.

    Tensors that share memory (tied embeddings) are hashed once, under the first of their names.
    """
    digest = hashlib.sha256()
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in sorted(model.state_dict().items()):
        identity = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu()
        digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()
