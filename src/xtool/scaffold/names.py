"""From the name that the author chooses to the names that a plugin needs; and which names are rejected."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from xtool.contracts.registry import Registry
from xtool.errors import UsageError

PEP508 = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
PREFIX = "xtool-"


@dataclass(frozen=True, slots=True)
class Names:
    """All names of a new plugin."""

    spec: str
    """What users type: ``my-method``."""
    distribution: str
    """What they install: ``xtool-my-method``."""
    module: str
    """What they import: ``xtool_my_method``."""
    cls: str
    """``MyMethod``."""


def check_name(given: str, found: Registry) -> Names:
    """Names for a plugin called ``given``, with or without ``xtool-`` in front.

    Raises:
        UsageError: no distribution can have that name, or something that is installed has it already.
    """
    if not PEP508.fullmatch(given):
        raise UsageError(
            f"{given!r} cannot be the name of a distribution: letters, digits and - only, starting and ending with a "
            "letter or digit (PEP 508)"
        )
    normal = re.sub(r"[-_.]+", "-", given).lower()
    spec = normal.removeprefix(PREFIX)
    module = f"xtool_{spec.replace('-', '_')}"
    cls = "".join(part.capitalize() for part in spec.split("-"))
    if not spec or not cls.isidentifier() or keyword.iskeyword(cls):
        raise UsageError(f"{given!r} cannot become a class name; start with a letter")
    _refuse_taken(spec, found)
    return Names(spec, f"{PREFIX}{spec}", module, cls)


def _refuse_taken(spec: str, found: Registry) -> None:
    for catalogue in found.catalogues():
        for item in catalogue:
            if item.spec.name.lower() == spec:
                raise UsageError(f"the {catalogue.kind} {item.spec.name} exists already, in plugin {item.owner}")
    for plugin in found.plugins:
        if spec == plugin.name or f"{PREFIX}{spec}" == plugin.distribution.lower():
            raise UsageError(f"a plugin {plugin.name} ({plugin.distribution}) is installed already")
