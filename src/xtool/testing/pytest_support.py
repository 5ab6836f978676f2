"""The kit as one line of a test module. The only module here that imports pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xtool.testing.judge import expectations, judge, plan
from xtool.testing.verdict import Case


def conformance(
    name: str,
    kind: str | None = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    pretrained: str | None = None,
) -> Callable[[Case], None]:
    """A test that runs every check on something that an installed plugin contributes, one test case per check.

    >>> import xtool.testing
    >>> test_conforms = xtool.testing.conformance("my-method")  # doctest: +SKIP

    Args:
        name: as on the command line. A method may carry options: ``"my-method:top_k=2"``.
        kind: ``"method"``, ``"encoder"``, ``"features"`` or ``"dataset"``; needed only where a name is several.
        expected_failures: why a check must fail, by the name of the check (``"texts_change_the_map"``), or of the
            check on one architecture (``"planted_evidence-vit"``). One that passes is an error. What the
            plugin's root module declares as ``XTOOL_EXPECTED_FAILURES = {name: {check: reason}}`` counts, too; then
            ``xtool plugins check`` knows it as well.
        data_dir: where the data lie, for a data set that needs it.
        pretrained: weights of an encoder; ``None`` takes random ones, which no network is needed for.

    Raises:
        UsageError: no plugin contributes ``name``, or a check is misspelt.
    """
    import pytest

    cases = plan(name, kind, data_dir=data_dir, pretrained=pretrained)
    expected = expectations(name, expected_failures, cases)

    @pytest.mark.parametrize("case", cases, ids=lambda case: case.id)
    def conforms(case: Case) -> None:
        __tracebackhide__ = True
        verdict = judge(case, expected.get(case.id, expected.get(case.check)))
        if verdict.status == "skipped":
            pytest.skip(verdict.found)
        if verdict.status == "expected":
            pytest.xfail(verdict.found)
        if verdict.bad:
            pytest.fail(f"{name}: {case.check}\npromised: {case.explains}\nfound:    {verdict.found}", pytrace=False)

    run: Any = conforms
    return run  # type: ignore[no-any-return]
