"""What a check says of a plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "skipped", "expected", "unexpected"]
"""``expected``: failed as its author says it must. ``unexpected``: its author says that it fails, and it passed."""

BAD: frozenset[Status] = frozenset({"failed", "unexpected"})


class CheckFailed(AssertionError):  # noqa: N818 - reads as the verdict that it is
    """The plugin does not keep a promise; the message says what was found."""


class NotApplicable(Exception):  # noqa: N818
    """The check cannot be made, or would only repeat what another one says; the message says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """One check of one thing, on one encoder where it takes one."""

    check: str
    """Name of the check, as ``expected_failures`` has it."""
    setup: str
    """The planted encoder it runs on, ``"cnn"`` or ``"vit"``; empty where it needs none."""
    explains: str
    """What is promised, in one sentence."""
    run: Callable[[], None]

    @property
    def id(self) -> str:
        return f"{self.check}-{self.setup}" if self.setup else self.check


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case ended."""

    case: Case
    status: Status
    found: str = ""

    @property
    def bad(self) -> bool:
        return self.status in BAD


def require(condition: bool, message: str) -> None:
    """Raise :class:`CheckFailed` unless ``condition`` holds."""
    if not condition:
        raise CheckFailed(message)
