"""What ``xtool plugins check`` does: the conformance kit on installed plugins, as a table of verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xtool.cli.terminal import console, print_json, say
from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.registry import Plugin
    from xtool.testing.verdict import Verdict

MANY = 4
"""Encoders of one plugin that are loaded without being asked for by name."""
STYLES = {"passed": "green", "failed": "red", "unexpected": "red", "expected": "yellow", "skipped": "dim"}
KIND_OF_SPEC = {
    "SaliencyMethodSpec": "method",
    "EncoderSpec": "encoder",
    "FeatureExtractorSpec": "features",
    "DatasetSpec": "dataset",
    "CommandSpec": "command",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """One verdict on one thing of one plugin."""

    plugin: str
    kind: str
    name: str
    verdict: Verdict


def check_plugins(name: str | None, only: Sequence[str], data_dir: str | None, *, as_json: bool) -> bool:
    """Check one plugin or all, print the verdicts, and return whether none is bad."""
    from xtool.contracts.registry import registry

    plugins = registry().plugins
    chosen = [plugin for plugin in plugins if name in (None, plugin.name, plugin.distribution)]
    if not chosen:
        raise UsageError(f"no plugin {name!r} is installed; there are {', '.join(plugin.name for plugin in plugins)}")
    broken = [plugin for plugin in chosen if plugin.status in ("error", "incompatible")]
    checked = [item for plugin in chosen if plugin.status == "ok" for item in _check(plugin, only, data_dir)]
    if only and not checked:
        raise UsageError(f"--only {', '.join(only)} names nothing that {name or 'an installed plugin'} contributes")
    if as_json:
        _print_json(broken, checked)
    else:
        _print_table(broken, checked)
    return not broken and not any(item.verdict.bad for item in checked)


def _check(plugin: Plugin, only: Sequence[str], data_dir: str | None) -> Iterator[Checked]:
    from xtool.contracts.specs import EncoderSpec
    from xtool.testing.judge import expectations, judge, plan

    encoders = sum(isinstance(spec, EncoderSpec) for spec in plugin.specs)
    if left_out := encoders > MANY and not only:
        say(f"{plugin.name} has {encoders} encoders, which are not loaded; name one with --only")
    for spec in plugin.specs:
        if only and spec.name not in only:
            continue
        if left_out and isinstance(spec, EncoderSpec):
            continue
        kind = KIND_OF_SPEC[type(spec).__name__]
        name = f"{plugin.name}:{spec.name}"
        cases = plan(name, kind, data_dir=data_dir)
        expected = expectations(name, None, cases)
        for case in cases:
            verdict = judge(case, expected.get(case.id, expected.get(case.check)))
            yield Checked(plugin.name, kind, spec.name, verdict)


def _print_json(broken: Sequence[Plugin], checked: Sequence[Checked]) -> None:
    verdicts: list[dict[str, Any]] = [
        {
            "plugin": item.plugin,
            "kind": item.kind,
            "name": item.name,
            "check": item.verdict.case.check,
            "encoder": item.verdict.case.setup or None,
            "status": item.verdict.status,
            "promised": item.verdict.case.explains,
            "found": item.verdict.found or None,
        }
        for item in checked
    ]
    refused = [{"plugin": plugin.name, "status": plugin.status, "error": plugin.error} for plugin in broken]
    print_json({"verdicts": verdicts, "not_loaded": refused})


def _print_table(broken: Sequence[Plugin], checked: Sequence[Checked]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("plugin", "checked", "passed", "skipped", "expected", "failed"):
        table.add_column(title)
    for plugin, kind, name in dict.fromkeys((item.plugin, item.kind, item.name) for item in checked):
        statuses = [i.verdict.status for i in checked if (i.plugin, i.kind, i.name) == (plugin, kind, name)]
        failed = statuses.count("failed") + statuses.count("unexpected")
        counts = [str(statuses.count(status)) for status in ("passed", "skipped", "expected")]
        table.add_row(plugin, Text(f"{kind} {name}"), *counts, Text(str(failed), style="red" if failed else "green"))
    terminal.print(table)
    for item in checked:
        if item.verdict.bad:
            case = item.verdict.case
            terminal.print(Text.assemble((f"{item.verdict.status}: ", "red"), (f"{item.name} {case.id}", "bold")))
            terminal.print(Text(f"  promised: {case.explains}\n  found:    {item.verdict.found}"))
    skipped = dict.fromkeys((i.verdict.found, i.plugin) for i in checked if i.verdict.status == "skipped")
    for told, plugin in skipped:
        terminal.print(Text(f"skipped in {plugin}: {told}", style="dim"))
    for owner in broken:
        terminal.print(Text.assemble((f"not loaded: {owner.name} ({owner.distribution}): ", "red"), owner.error))
