"""Files of the Hugging Face hub: from the cache at once, else from the network, else a reason within seconds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xtool.errors import SetupError
from xtool.loading.digests import intact

LOG = logging.getLogger("xtool.loading")

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
    """As :func:`fetch_any`, where one of the files must be there.

    Raises :class:`DownloadError` as that does, and if the repository has none of them.
    """
    found = fetch_any(repository, filenames, cache_dir)
    if found is None:
        raise DownloadError(f"{repository} has none of the files {', '.join(filenames)}")
    return found


def fetch_any(repository: str, filenames: Sequence[str], cache_dir: str | None = None) -> Path | None:
    """The first of ``filenames`` that ``repository`` has, downloaded unless it is cached; ``None`` if it has none.

    The hub's own client retries each name for half a minute when there is no network. A single short request in
    advance detects an unreachable hub at once, and a cached file needs no request at all. An interrupted download
    continues where it stopped when it is asked for again. A file whose hash is not the hub's, freshly downloaded or
    damaged since, is replaced once.

    Args:
        repository: ``owner/name`` on the hub.
        filenames: in order of preference, for example safetensors before pickles.
        cache_dir: a Hugging Face cache; ``None`` for the user's own (``HF_HOME``).

    Raises:
        DownloadError: offline, unreachable, interrupted, no access, or damaged again.
    """
    hub = _client()
    found = cached(repository, filenames, cache_dir)
    if found is not None and intact(found):
        return found
    wanted = [name for name in filenames if not _known_to_be_absent(hub, repository, name, cache_dir)]
    if not wanted:
        return None
    where = cache_dir or hub.constants.HF_HUB_CACHE
    state = f"is not in the cache {where}" if found is None else f"is damaged in the cache, {found}"
    if hub.constants.HF_HUB_OFFLINE:
        raise DownloadError(f"{repository} {state}, and HF_HUB_OFFLINE forbids downloading it")
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, wanted[0]), timeout=PROBE_SECONDS)
    except hub.errors.EntryNotFoundError:
        pass  # reachable; the client is asked for it, too, as it keeps in mind what is not there
    except Exception as error:  # each version of the client lets other exceptions of its HTTP library through
        raise DownloadError(
            f"{repository} {state}, and cannot be downloaded: {_reason(hub, repository, error)}"
        ) from error
    for filename in wanted:
        file = _download(hub, repository, filename, cache_dir, found)
        if file is not None:
            return file
    return None


def _download(hub: Any, repository: str, filename: str, cache_dir: str | None, damaged: Path | None) -> Path | None:
    """The file, intact; ``None`` if the repository has no such file."""
    file = damaged
    for again in (False, True):
        if file is not None:
            LOG.warning("%s is damaged, its hash is not the hub's; downloading it again", file)
        try:
            force = file is not None  # the client takes what is in its cache for whole
            file = Path(hub.hf_hub_download(repository, filename, cache_dir=cache_dir, force_download=force))
        except Exception as error:  # as above
            if _is_absent(hub, error):
                return None
            if again or not _is_cut_short(error):
                raise DownloadError(
                    f"the download of {repository}/{filename} was interrupted: {_reason(hub, repository, error)}; "
                    "the same command tries again"
                ) from error
            LOG.warning("%s/%s arrived incomplete; downloading it again", repository, filename)
            continue
        if intact(file):
            return file
    if file is not None:
        _remove(file)
    raise DownloadError(
        f"the download of {repository}/{filename} arrived damaged each time, its hash is not the hub's, and was "
        "removed; a proxy or the disk may be at fault"
    )


def _remove(file: Path) -> None:
    """A snapshot's file and what it links to."""
    stored = file.resolve()
    file.unlink()
    stored.unlink(missing_ok=True)


def _known_to_be_absent(hub: Any, repository: str, filename: str, cache_dir: str | None) -> bool:
    """Whether the hub has said before that there is no such file."""
    found = hub.try_to_load_from_cache(repository, filename, cache_dir=cache_dir)
    return found is not None and not isinstance(found, str)


def _is_absent(hub: Any, error: Exception) -> bool:
    """A missing file, and not one that is missing here because the hub cannot be reached."""
    absent = isinstance(error, hub.errors.EntryNotFoundError)
    return absent and not isinstance(error, hub.errors.LocalEntryNotFoundError)


def _is_cut_short(error: Exception) -> bool:
    """Whether fewer bytes came than the hub had announced, on a connection that ended well."""
    return isinstance(error, OSError) and "Consistency check failed" in str(error)


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
