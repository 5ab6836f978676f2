"""Looking up what plugins contribute, by name."""

from __future__ import annotations

import difflib
import importlib.metadata
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from xtool.contracts.specs import Spec
from xtool.errors import UsageError

DISTRIBUTION = "xtool-saliency"

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True, slots=True)
class Provided(Generic[S]):
    """A spec and the plugin that it comes from."""

    owner: str
    spec: S

    @property
    def qualified_name(self) -> str:
        return f"{self.owner}:{self.spec.name}"


class UnknownNameError(UsageError):
    """No plugin provides anything of the name."""


class Catalogue(Generic[S]):
    """Everything of one kind, by name."""

    def __init__(self, kind: str, command: str, provided: Iterable[Provided[S]], extra: str = "") -> None:
        self.kind = kind
        self.command = command
        self.extra = extra
        """The extra of xtool's own distribution that installs more of the kind; for commands, each its own."""
        self._by_name: dict[str, list[Provided[S]]] = {}
        for item in provided:
            self._by_name.setdefault(item.spec.name, []).append(item)

    def __iter__(self) -> Iterator[Provided[S]]:
        for name in sorted(self._by_name, key=str.lower):
            yield from self._by_name[name]

    def conflicts(self) -> dict[str, list[str]]:
        """Names that more than one plugin provides, with their qualified names."""
        return {
            name: [item.qualified_name for item in items] for name, items in self._by_name.items() if len(items) > 1
        }

    def find(self, name: str) -> Provided[S]:
        """Look up ``name`` or ``owner:name``.

        Raises :class:`UnknownNameError` with the nearest names, or :class:`UsageError` with the rivals.
        """
        items = self._named(name)
        if len(items) == 1:
            return items[0]
        if items:
            rivals = " or ".join(item.qualified_name for item in items)
            raise UsageError(f"{self.kind} {name!r} is provided by several plugins; say {rivals}")
        near = difflib.get_close_matches(name, [*self._by_name, *(item.qualified_name for item in self)], n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownNameError(
            f"unknown {self.kind} {name!r}; {hint}`xtool {self.command}` lists all{_missing(self.extra or name)}"
            f"{self._ways_out()}"
        )

    def _ways_out(self) -> str:
        """What else may be given than a listed name, to be put after the error."""
        return ""

    def owners(self, name: str) -> set[str]:
        """The plugins that provide ``name`` or ``owner:name``: several where the bare name leaves it open, or none."""
        return {item.owner for item in self._named(name)}

    def _named(self, name: str) -> list[Provided[S]]:
        owner, _, bare = name.rpartition(":")
        return [item for item in self._by_name.get(bare, []) if owner in ("", item.owner)]

    def name_of(self, item: Provided[S]) -> str:
        """The shortest name that finds the item: its own, or with its owner where others have the same."""
        return item.qualified_name if len(self._named(item.spec.name)) > 1 else item.spec.name

    def missing(self) -> str:
        """What else of this kind could be installed, and how, to be put after a sentence; empty if there is nothing."""
        return _missing(self.extra)

    def suggested(self) -> list[Provided[S]]:
        """What is taken when the user names none, the highest rank first."""
        ranked = [item for item in self if getattr(item.spec, "suggested", 0) > 0]
        return sorted(ranked, key=lambda item: -item.spec.suggested)  # type: ignore[union-attr]

    def default(self, subject: str = "") -> Provided[S]:
        """The first of :meth:`suggested`.

        Args:
            subject: what is or will be shown, ``"photographs"`` or ``"pictograms"``: an encoder that knows it, or a
                data set that shows it, comes before others; where none does, the first of any kind is taken.

        Raises:
            UsageError: nothing that is installed is a default.
        """
        ranked = self.suggested()
        if not ranked:
            raise UsageError(
                f"no {self.kind} is named, and none that is installed is a default; `xtool {self.command}` lists all"
                f"{self.missing()}"
            )
        return next((item for item in ranked if subject and subject == _subject(item.spec)), ranked[0])


def _subject(spec: Spec) -> str:
    """What an encoder knows or a data set shows; empty where that is not told, and for other things."""
    return getattr(spec, "knows", "") or getattr(spec, "shows", "")


def _missing(extra: str) -> str:
    """Which distributions of an extra are not installed, and how to get them; empty where there is nothing to get."""
    wanted = []
    for requirement in importlib.metadata.requires(DISTRIBUTION) or ():
        name = re.match(r"[\w.-]+", requirement)
        if name and re.search(rf"""extra == ['"]{re.escape(extra)}['"]""", requirement) and not _installed(name[0]):
            wanted.append(name[0])
    if not wanted:
        return ""
    verb = "is" if len(wanted) == 1 else "are"
    return f'; {", ".join(wanted)} {verb} not installed here: pip install "{DISTRIBUTION}[{extra}]"'


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
