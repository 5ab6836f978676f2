"""The encoders and feature extractors keep the promises of every one of xtool's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xtool.testing

OF_WORDS = {
    "words_have_a_number_each",
    "words_are_explained_alike_each_time",
    "words_are_explained_along_the_direction",
    "explaining_words_leaves_no_trace",
    "unknown_word_methods_are_refused",
}
"""Checks of what these encoders do not offer."""

test_tokens_conforms = xtool.testing.conformance("hf-tokens")
test_spatial_conforms = xtool.testing.conformance("hf-spatial")


def test_an_encoder_of_every_kind_conforms(family: str, saved: Callable[[str], tuple[Path, Any]]) -> None:
    verdicts = list(xtool.testing.verdicts(f"hf:{saved(family)[0]}", "encoder"))
    assert [f"{verdict.case.check}: {verdict.found}" for verdict in verdicts if verdict.bad] == []
    skipped = {verdict.case.check for verdict in verdicts if verdict.status == "skipped"}
    taken_apart = family not in ("align", "groupvit")
    expected = set() if taken_apart else {"transformer_parts_add_up"}
    assert skipped - OF_WORDS == expected | ({"pools_under_masks"} if family == "groupvit" else set())
    assert skipped >= OF_WORDS


def test_one_with_weights_of_its_own_conforms(saved: Callable[[str], tuple[Path, Any]]) -> None:
    verdicts = list(xtool.testing.verdicts(f"hf:{saved('clip')[0]}", "encoder", pretrained="own"))
    assert [f"{verdict.case.check}: {verdict.found}" for verdict in verdicts if verdict.bad] == []
