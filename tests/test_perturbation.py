"""Positive and negative perturbation against pixels, steps and ranks worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xtool.image.geometry import Geometry
from xtool.metrics.case import Answer, Case
from xtool.metrics.image_map import ImageMap
from xtool.metrics.perturbation import NegativePerturbation, PositivePerturbation, blackened
from xtool.metrics.protocols import ANYBOX
from xtool.testing import PlantedCNN

TWENTY = np.array([[1, 9, 5, 9, 2], [0, 8, 5, 7, 3], [0, 4, 5, 6, 3], [0, 0, 1, 2, 4]], np.float32)


class TestBlackened:
    def test_the_most_salient_tenth_goes_first_and_ties_in_raster_order(self) -> None:
        steps = blackened(TWENTY, most_salient=True).reshape(9, -1)
        assert steps.sum(axis=1).tolist() == [2, 4, 6, 8, 10, 12, 14, 16, 18]
        assert np.flatnonzero(steps[0]).tolist() == [1, 3], "both nines"
        assert np.flatnonzero(steps[2] & ~steps[1]).tolist() == [2, 13], "the six, and the first of three fives"

    def test_the_least_salient_tenth_goes_first_and_ties_in_raster_order(self) -> None:
        steps = blackened(TWENTY, most_salient=False).reshape(9, -1)
        assert np.flatnonzero(steps[0]).tolist() == [5, 10]
        assert np.flatnonzero(steps[1]).tolist() == [5, 10, 15, 16]

    def test_numbers_of_pixels_are_rounded_down(self) -> None:
        steps = blackened(np.zeros((224, 224)), most_salient=True)
        assert steps.sum(axis=(1, 2)).tolist() == [5017, 10035, 15052, 20070, 25088, 30105, 35123, 40140, 45158]
        assert blackened(np.zeros((1, 5)), most_salient=True).sum(axis=(1, 2)).tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def case_of(encoder: Any, pixels: torch.Tensor, low: np.ndarray[Any, Any], ranks: Any) -> Case:
    answer = Answer(image_map=ImageMap(low, Geometry.of((64, 64), (64, 64))), present=None, score=None)
    return Case(
        sample=None,  # type: ignore[arg-type]
        target=answer,
        absent=None,
        distractor=None,
        protocol=ANYBOX,
        encoder=encoder,
        pixels=pixels,
        text=torch.zeros(1, 4),
        ranks=ranks,
    )


class Recorder:
    """Keeps what it is asked to embed."""

    def __init__(self, encoder: PlantedCNN) -> None:
        self.info = encoder.info
        self.seen: list[torch.Tensor] = []

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(pixels)
        return torch.arange(len(pixels))[:, None]


@pytest.mark.parametrize(("metric", "first"), [(PositivePerturbation(), 0), (NegativePerturbation(), 32)])
def test_pixels_turn_black_before_normalisation(metric: Any, first: int) -> None:
    """A map that falls from the top row: the first tenth is the top six rows, or the bottom six."""
    encoder = Recorder(PlantedCNN())
    mean, std = (torch.tensor(values)[:, None, None] for values in (encoder.info.mean, encoder.info.std))
    pixels = (torch.full((1, 3, 64, 64), 0.6) - mean) / std
    low = np.arange(64, 0, -1, dtype=np.float32)[:, None].repeat(64, axis=1)
    found = metric.measure(case_of(encoder, pixels, low, lambda embedded: [1, 2, 1, 3, 1, 1, 9, 9, 9]))
    assert found == [True, False, True, False, True, True, False, False, False], "rank 1 or not"
    (masked,) = encoder.seen
    assert masked.shape == (9, 3, 64, 64)
    shown = masked * std + mean
    black = (shown.abs() < 1e-6).all(dim=1)
    assert black.sum(dim=(1, 2)).tolist() == [64 * 64 * tenth // 10 for tenth in range(1, 10)]
    assert torch.allclose(shown.permute(0, 2, 3, 1)[~black], torch.tensor(0.6))
    rows = black[0].all(dim=1).nonzero().ravel()
    assert rows.tolist() == (list(range(6)) if first == 0 else list(range(58, 64)))


def test_without_classes_there_is_nothing_to_measure() -> None:
    pixels = torch.zeros(1, 3, 64, 64)
    assert PositivePerturbation().measure(case_of(PlantedCNN(), pixels, np.eye(4, dtype=np.float32), None)) is None


def test_a_map_of_the_object_loses_its_class_early_and_keeps_it_long(xtool: Any) -> None:
    compare = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam,everywhere")
    asked = ("--metric", "positive_perturbation", "--metric", "negative_perturbation")
    done = xtool(*compare, "--limit", "6", *asked, "--json", "--out", "run")
    assert done.returncode == 0, done.stderr
    seeing, blind = json.loads(done.stdout)["rows"]
    assert seeing["positive_perturbation"] < blind["positive_perturbation"]
    assert seeing["negative_perturbation"] > blind["negative_perturbation"]
    records = [json.loads(line) for line in Path("run/records.jsonl").read_text("utf-8").splitlines()]
    steps = [record["values"]["positive_perturbation"] for record in records if record["method"] == "colourcam"]
    assert seeing["positive_perturbation"] == pytest.approx(sum(map(sum, steps)) / (9 * len(steps)))
