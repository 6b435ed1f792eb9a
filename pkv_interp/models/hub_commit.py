"""The commit that a revision of a hub repository stands for, known before anything of it is fetched."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name

from pkv_interp.models.hub_errors import told_as_pkv_error

DEFAULT_REVISION = "main"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SECONDS = 20.0


def resolve_commit(hub_id: str, revision: str | None, *, ask_hub: bool = True) -> str:
    """The commit of a branch or tag, from the hub, or from the local cache where there is no network.

    Args:
        hub_id: of the repository.
        revision: branch, tag or commit; the default branch when None.
        ask_hub: False looks at the local cache alone.

    Raises:
        PkvError: the hub has no such repository or revision, or it is in reach of neither.
    """
    wanted = revision or DEFAULT_REVISION
    if _COMMIT.fullmatch(wanted):
        return wanted
    with told_as_pkv_error(hub_id, revision):
        if ask_hub and not constants.HF_HUB_OFFLINE:
            try:
                found = HfApi().model_info(hub_id, revision=wanted, timeout=_SECONDS).sha
                if found:
                    return found
            except (httpx.TransportError, OfflineModeIsEnabled, ConnectionError, TimeoutError):
                pass  # The cache may hold it.
        return _cached_commit(hub_id, wanted)


def _cached_commit(hub_id: str, revision: str) -> str:
    repository = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=hub_id, repo_type="model")
    reference = repository / "refs" / revision
    if not reference.is_file():
        raise LocalEntryNotFoundError(f"{hub_id} is not in the local cache")
    return reference.read_text(encoding="utf-8").strip()
