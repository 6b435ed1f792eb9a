"""What transformers and the hub client raise, reported in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import torch
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pkv_interp.errors import PkvError
from pkv_interp.models.config_errors import told_field


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in found:
        found.append(link)
        link = link.__cause__ or link.__context__
    return found


@contextmanager
def told_as_pkv_error(where: str, revision: str | None) -> Iterator[None]:
    """Turn what transformers and the hub client raise into one line with a hint."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise PkvError(
            f"{where} does not fit the GPU",
            "take a smaller model, or model.quantise_4bit=true, or model.device=cpu",
        ) from error
    except Exception as error:  # a checkpoint is input: whatever a library raises over it is told in one line
        if isinstance(error, PkvError):
            raise
        raise PkvError(*_cause_and_hint(error, where, revision)) from error


def _cause_and_hint(error: Exception, where: str, revision: str | None) -> tuple[str, str]:
    chain = _chain(error)
    if any(isinstance(link, GatedRepoError) for link in chain):
        return f"{where} is gated on the hub", "accept its licence there and log in with `hf auth login`"
    if any(isinstance(link, RevisionNotFoundError) for link in chain):
        return f"{where} has no revision '{revision}'", "set model.revision=main"
    if any(isinstance(link, RepositoryNotFoundError | HFValidationError) for link in chain):
        return f"the hub has no model '{where}'", "check model.hub_id, or log in if it is private"
    # Offline, refused and timed out differ in class, and transformers wraps some of them in a bare OSError.
    unreachable = (ConnectionError, TimeoutError, LocalEntryNotFoundError, httpx.TransportError)
    if any(isinstance(link, unreachable) for link in chain) or "couldn't connect to" in str(error):
        return (
            f"cannot reach the hub for {where}, and it is not in the local cache",
            "check the network and HF_HUB_OFFLINE, or use model=smollm2-135m-gate or model=local",
        )
    if any(isinstance(link, EntryNotFoundError) for link in chain):
        return f"{where} has no such file: {error}", "check model.gguf_file"
    if any(isinstance(link, ImportError) for link in chain):
        return (
            f"{where} cannot be loaded on this machine: {error}",
            "install what it names, or use an unquantised checkpoint",
        )
    for link in chain:
        if (told := told_field(link, where)) is not None:
            return told
    # Of an architecture that is no language model, transformers lists every one that is.
    said = str(error).partition("Model type should be one of")[0].strip()
    return (
        f"cannot load {where}: {said}",
        "use a causal language model with safetensors and a fast tokenizer",
    )
