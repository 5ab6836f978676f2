"""Choices that are looked up when a value is read, so that ``--help`` imports nothing that computes."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from xtool.cli.terminal import say

__all__ = ["MetricName", "ProtocolName"]


class _Name(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on only
    """One of several names."""

    def names(self) -> tuple[str, ...]:
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.names():
            self.fail(f"{value!r} is not one of {', '.join(self.names())}.", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


class MetricName(_Name):
    """A metric that is measured on request."""

    name = "metric"

    def names(self) -> tuple[str, ...]:
        from xtool.metrics.registry import ON_REQUEST

        return ON_REQUEST


class ProtocolName(_Name):
    """A localization protocol. A former name still works, with a warning."""

    name = "protocol"

    def names(self) -> tuple[str, ...]:
        from xtool.metrics.protocols import PROTOCOLS

        return tuple(PROTOCOLS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from xtool.metrics.protocols import RENAMED

        if value in RENAMED:
            say(f"The protocol {value} is now called {RENAMED[value]}.")
        return super().convert(RENAMED.get(value, value), param, ctx)
