"""Files from the Hugging Face hub: from the cache at once, else from the network, else a reason within seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub import errors

PROBE_SECONDS = 5.0


class UnreachableError(Exception):
    """The file is neither in the cache nor to be had from the network; the message says why."""


def fetch(repository: str, filenames: Sequence[str], cache_dir: str | None) -> Path:
    """The first of ``filenames`` that ``repository`` has, downloaded unless it is cached.

    The hub's own client retries each name for half a minute when there is no network. A single short request in
    front of it tells an unreachable hub at once, and a cached file needs no request at all.

    Raises :class:`UnreachableError`.
    """
    for filename in filenames:
        cached = huggingface_hub.try_to_load_from_cache(repository, filename, cache_dir=cache_dir)
        if isinstance(cached, str):
            return Path(cached)
    if huggingface_hub.is_offline_mode():
        raise UnreachableError("HF_HUB_OFFLINE is set and the cache does not hold it")
    for filename in filenames:
        try:
            huggingface_hub.get_hf_file_metadata(
                huggingface_hub.hf_hub_url(repository, filename), timeout=PROBE_SECONDS
            )
            return Path(huggingface_hub.hf_hub_download(repository, filename, cache_dir=cache_dir))
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # each version of the client lets other exceptions of its HTTP library through
            raise UnreachableError(_first_line(error)) from error
    raise UnreachableError(f"the repository holds none of {', '.join(filenames)}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
