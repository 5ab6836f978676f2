"""Evidence bars share one scale."""

from __future__ import annotations

import math

import pytest

from xtool.paint.verdicts import Verdict
from xtool.plugin import Calibration
from xtool_app.evidence import evidence_bars
from xtool_app.markup import evidence_row


def test_bars_grow_from_zero_to_both_sides() -> None:
    for_, against = evidence_bars([0.3, -0.1], None)
    assert for_ is not None
    assert against is not None
    assert for_.start == against.start
    assert against.end < for_.start < for_.end
    assert for_.end - for_.start == pytest.approx(3 * (against.start - against.end))
    assert against.end > 0
    assert for_.end < 1


def test_the_unsure_band_lies_between_the_bounds_on_the_same_scale() -> None:
    low, inside, high = evidence_bars(
        [0.0, 0.22, 1.0], Calibration(method="any", bar=0.25, absent_below=0.2, present_above=0.3)
    )
    assert low is not None
    assert inside is not None
    assert high is not None
    assert inside.band is not None
    assert low.end < inside.band[0] < inside.end < inside.start < inside.band[1] < high.end
    assert low.start == inside.start == high.start, "bars start where the verdict changes"


def test_no_number_has_no_bar_and_disturbs_no_other() -> None:
    lost, kept = evidence_bars([math.nan, 0.5], None)
    assert lost is None
    assert kept == evidence_bars([0.5], None)[0]


def test_without_any_evidence_the_scale_stands() -> None:
    (bar,) = evidence_bars([0.0], None)
    assert bar is not None
    assert 0 < bar.start == bar.end < 1


def test_typed_markup_is_escaped() -> None:
    row = evidence_row("<img src=x>", "<b>", None, Verdict.ABSENT)
    assert "<img" not in row
    assert "<b>" not in row
    assert "&lt;img src=x&gt;" in row
