"""From what people type to the spec that loads it: names, and folders and repositories by what they hold."""

from __future__ import annotations

from xtool.contracts.catalogue import Provided, UnknownNameError
from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import EncoderSpec
from xtool.errors import UsageError
from xtool.loading.hub import DownloadError
from xtool.loading.model_files import ModelFiles


def find_encoder(name: str, cache_dir: str | None = None) -> Provided[EncoderSpec]:
    """The encoder that a user means.

    Args:
        name: one that ``xtool encoders`` lists, in any spelling; one that begins with a listed prefix; or a folder or
            a repository of the Hugging Face hub, which the plugin that knows its files takes.
        cache_dir: a Hugging Face cache; ``None`` for the user's own.

    Raises :class:`UsageError` for a name that means nothing or too much, with the ways out.
    """
    encoders = registry().encoders
    try:
        return encoders.find(name)
    except UnknownNameError as unknown:
        prefixes = [item for item in encoders if item.spec.is_prefix and item.spec.claims]
        files = ModelFiles.named(name, cache_dir)
        if files is None or not prefixes:
            raise
        claimed, unanswered = [], None
        for item in prefixes:
            try:
                if resolve(item.spec.claims)(files):
                    claimed.append(item)
            except DownloadError as error:  # what another needs may be on this machine
                unanswered = error
        if not claimed:
            try:
                reason = _unclaimed(files) if unanswered is None else None
            except DownloadError as error:
                reason, unanswered = None, error
            if reason is None:
                raise UsageError(f"{unknown}\nIt was also looked for on the hub: {unanswered}") from unanswered
            raise UsageError(f"{reason}{encoders.missing()}") from None
    if len(claimed) > 1:
        raise UsageError(f"{files} may be {' or '.join(item.spec.name + files.place for item in claimed)}: say which")
    return encoders.find(claimed[0].spec.name + files.place)


def _unclaimed(files: ModelFiles) -> str:
    config = files.json("config.json") or {}
    kind = f"; its config.json says model_type {config['model_type']!r}" if "model_type" in config else ""
    return f"no installed plugin knows how to load what {files} holds{kind}"
