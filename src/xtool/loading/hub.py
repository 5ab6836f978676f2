"""Files of the Hugging Face hub: from the cache at once, else from the network, else a reason within seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xtool.errors import SetupError

PROBE_SECONDS = 5.0


class DownloadError(SetupError):
    """A file is neither in the cache nor available from the network; the message says why."""


def cached(repository: str, filenames: Sequence[str], cache_dir: str | None = None) -> Path | None:
    """The first of ``filenames`` in the cache, or ``None``. Uses no network, and imports no torch."""
    hub = _client()
    for filename in filenames:
        found = hub.try_to_load_from_cache(repository, filename, cache_dir=cache_dir)
        if isinstance(found, str):
            return Path(found)
    return None


def fetch(repository: str, filenames: Sequence[str], cache_dir: str | None = None) -> Path:
    """The first of ``filenames`` that ``repository`` has, downloaded unless it is cached.

    The hub's own client retries each name for half a minute when there is no network. A single short request in
    advance detects an unreachable hub at once, and a cached file needs no request at all. An interrupted download
    continues where it stopped when it is asked for again.

    Args:
        repository: ``owner/name`` on the hub.
        filenames: in order of preference, for example safetensors before pickles.
        cache_dir: a Hugging Face cache; ``None`` for the user's own (``HF_HOME``).

    Raises:
        DownloadError: offline, unreachable, interrupted, no access, or no such file.
    """
    hub = _client()
    if found := cached(repository, filenames, cache_dir):
        return found
    where = cache_dir or hub.constants.HF_HUB_CACHE
    if hub.constants.HF_HUB_OFFLINE:
        raise DownloadError(f"{repository} is not in the cache {where}, and HF_HUB_OFFLINE forbids downloading it")
    for filename in filenames:
        try:
            hub.get_hf_file_metadata(hub.hf_hub_url(repository, filename), timeout=PROBE_SECONDS)
        except hub.errors.EntryNotFoundError:
            continue
        except Exception as error:  # each version of the client lets other exceptions of its HTTP library through
            raise DownloadError(
                f"{repository} is not in the cache {where}, and cannot be downloaded: {_reason(hub, repository, error)}"
            ) from error
        try:
            return Path(hub.hf_hub_download(repository, filename, cache_dir=cache_dir))
        except Exception as error:  # as above
            raise DownloadError(
                f"the download of {repository}/{filename} was interrupted: {_reason(hub, repository, error)}\n"
                "The same command resumes it."
            ) from error
    raise DownloadError(f"{repository} has none of the files {', '.join(filenames)}")


def _client() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise DownloadError("downloads from the Hugging Face hub need it: pip install huggingface_hub") from error
    return huggingface_hub


def _reason(hub: Any, repository: str, error: Exception) -> str:
    if isinstance(error, hub.errors.GatedRepoError):
        return f"access must be granted first, at https://huggingface.co/{repository}; then log in: hf auth login"
    if isinstance(error, hub.errors.RepositoryNotFoundError):
        return "the hub has no such repository, or it is private and needs a login: hf auth login"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
