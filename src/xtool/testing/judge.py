"""From the name of something that a plugin contributes to a verdict per check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.errors import UsageError
from xtool.testing.verdict import Case, CheckFailed, NotApplicable, Verdict

if TYPE_CHECKING:
    from xtool.contracts.catalogue import Catalogue

__all__ = ["KINDS", "judge", "plan", "verdicts"]

KINDS = ("method", "encoder", "features", "dataset", "command")


def verdicts(
    name: str,
    kind: str | None = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    pretrained: str | None = None,
) -> Iterator[Verdict]:
    """Run every check on something that an installed plugin contributes. See :func:`xtool.testing.conformance`."""
    cases = plan(name, kind, data_dir=data_dir, pretrained=pretrained)
    expected = expectations(name, expected_failures, cases)
    for case in cases:
        yield judge(case, expected.get(case.id, expected.get(case.check)))


def plan(
    name: str, kind: str | None = None, *, data_dir: str | Path | None = None, pretrained: str | None = None
) -> list[Case]:
    """The checks to run, in order. Nothing is run yet.

    Raises :class:`xtool.plugin.UsageError` for a name that no plugin contributes, or several kinds share.
    """
    kind = kind or _kind_of(name)
    if kind == "method":
        from xtool.testing.checks.method import plan_method

        return plan_method(name)
    if kind == "encoder":
        from xtool.testing.checks.encoder import plan_encoder

        return plan_encoder(name, pretrained)
    if kind == "features":
        from xtool.testing.checks.features import plan_features

        return plan_features(name)
    if kind == "dataset":
        from xtool.testing.checks.dataset import plan_dataset

        return plan_dataset(name, Path(data_dir) if data_dir is not None else None)
    if kind == "command":
        from xtool.testing.checks.command import plan_command

        return plan_command(name)
    raise UsageError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")


def judge(case: Case, expected: str | None = None) -> Verdict:
    """Run one case. ``expected`` is why it must fail, if it must: passing is then an error."""
    try:
        case.run()
    except NotApplicable as reason:
        return Verdict(case, "skipped", str(reason))
    except CheckFailed as failure:
        message = str(failure)
    except Exception as error:  # whatever a plugin raises is a verdict on it
        message = f"{type(error).__name__}: {error}"
    else:
        return (
            Verdict(case, "unexpected", f"expected to fail ({expected}), but passes")
            if expected
            else Verdict(case, "passed")
        )
    return Verdict(case, "expected", expected) if expected else Verdict(case, "failed", message)


def expectations(name: str, given: Mapping[str, str] | None, cases: list[Case]) -> dict[str, str]:
    """Why checks must fail: as the plugin declares it (``XTOOL_EXPECTED_FAILURES``), and as the test adds.

    Raises :class:`xtool.plugin.UsageError` for the name of no check, which would go stale in silence.
    """
    expected = {**_declared(name), **(given or {})}
    known = {case.id for case in cases} | {case.check for case in cases}
    unknown = sorted(set(expected) - known)
    if unknown:
        raise UsageError(f"expected failures name {', '.join(unknown)}; the checks are {', '.join(sorted(known))}")
    return expected


def _declared(name: str) -> Mapping[str, str]:
    from xtool.contracts.registry import registry

    for plugin in registry().plugins:
        for spec, reasons in plugin.expected_failures.items():
            if name in (spec, f"{plugin.name}:{spec}"):
                return reasons
    return {}


def _kind_of(name: str) -> str:
    from xtool.contracts.registry import registry

    found = registry()
    catalogues: tuple[Catalogue[Any], ...] = (
        found.saliency_methods,
        found.encoders,
        found.feature_extractors,
        found.datasets,
        found.commands,
    )
    names = {name, name.split(":")[0], ":".join(name.split(":")[:2])}
    owned = [
        kind
        for kind, catalogue in zip(KINDS, catalogues, strict=True)
        if any(names & {item.spec.name, item.qualified_name} for item in catalogue)
    ]
    if len(owned) == 1:
        return owned[0]
    if not owned:
        raise UsageError(
            f"no installed plugin contributes {name!r}; `xtool plugins` lists them, with what is wrong with any"
        )
    raise UsageError(f"{name!r} may be {' or '.join(owned)}: say which, kind={owned[0]!r}")
