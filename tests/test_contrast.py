"""Contrast prompts: the direction, what is left out of the background, and what that does to maps and verdicts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xtool.contracts.protocols import Understanding
from xtool.engine.contrast import contrasted
from xtool.testing.planted import planted_image

SQUARE = 2**-0.5
VECTORS = {"dog": (1.0, 0, 0), "cat": (0, 1.0, 0), "grass": (0, 0, 1.0), "puppy": (1.0, 0.1, 0), "Dog": (0, 0.6, 0.8)}


class Words:
    """An encoder of single words, by the vectors above."""

    def encode_text(self, texts: Any) -> Tensor:
        return torch.nn.functional.normalize(
            torch.tensor([VECTORS.get(self._word(text), (0, 0, 1.0)) for text in texts]), dim=1
        )

    def understand(self, texts: Any) -> list[Understanding]:
        return [Understanding(text, known=self._word(text) in VECTORS) for text in texts]

    @staticmethod
    def _word(text: str) -> str:
        return text.rstrip(".").split()[-1]


def directions(*texts: str, against: tuple[str, ...]) -> tuple[list[list[float]], list[str]]:
    embedded = torch.tensor([VECTORS[text] for text in texts])
    vectors, notes = contrasted(Words(), texts, embedded, against, ["an image of a {label}."])  # type: ignore[arg-type]
    return vectors.tolist(), notes


def test_the_direction_is_the_text_less_the_mean_of_the_background_at_length_one() -> None:
    # u((1, 0, 0) − ((0, 1, 0) + (0, 0, 1)) / 2) = (1, −½, −½) / √1.5
    found, notes = directions("dog", against=("cat", "grass"))
    assert found[0] == pytest.approx([1 / 1.5**0.5, -0.5 / 1.5**0.5, -0.5 / 1.5**0.5])
    assert notes == []


@pytest.mark.parametrize(
    "same",
    [
        "puppy",  # cosine 0.995
        "A Dog",  # the words are the same, whatever the vectors
    ],
)
def test_a_background_that_means_the_text_is_left_out_and_said(same: str) -> None:
    found, notes = directions("dog", against=(same, "cat"))
    assert found[0] == pytest.approx([SQUARE, -SQUARE, 0])
    assert notes == [f"Not against {same!r} for 'dog': they mean the same."]


def test_each_text_has_its_own_background() -> None:
    found, _ = directions("dog", "cat", against=("cat",))
    assert found[0] == pytest.approx([SQUARE, -SQUARE, 0])
    assert found[1] == [0, 1, 0], "nothing is left to hold the cat against"


def test_an_unknown_text_is_held_against_nothing() -> None:
    embedded = torch.tensor([[0.0, 0, 1]])
    vectors, _ = contrasted(Words(), ["asdf"], embedded, ("cat",), ["an image of a {label}."])  # type: ignore[arg-type]
    assert vectors.tolist() == embedded.tolist()


def test_an_unknown_background_is_left_out_and_said() -> None:
    found, notes = directions("dog", against=("asdf", "cat"))
    assert found[0] == pytest.approx([SQUARE, -SQUARE, 0])
    assert notes == ["Not against 'asdf': it is not known."]


def explained(xtool: Any, *arguments: str) -> dict[str, Any]:
    planted_image({"red": (8, 8, 32, 32), "green": (40, 40, 56, 56)}).save("picture.png")
    command = ("explain", "picture.png", "--encoder", "planted-cnn", "--method", "colourcam", "--json", *arguments)
    done = xtool(*command)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["explanations"][0]
    return answer


def test_maps_are_held_against_the_background_and_verdicts_are_not(xtool: Any) -> None:
    plain = explained(xtool, "--text", "red", "--text", "green")
    held = explained(xtool, "--text", "red", "--text", "green", "--against", "green")
    assert held["against"] == ["green"]
    assert held["notes"] == ["Not against 'green' for 'green': they mean the same."]
    for before, after in zip(plain["texts"], held["texts"], strict=True):
        assert (before["present"], before["score"]) == (after["present"], after["score"])
    assert plain["texts"][1]["boxes"] == held["texts"][1]["boxes"]


def test_in_python_a_single_background_text_is_enough(xtool: Any) -> None:
    import xtool as package
    from xtool.testing.planted import PlantedCNN

    image = planted_image({"red": (8, 8, 32, 32)})
    alike = [
        package.explain(image, "red", methods="colourcam", encoder=PlantedCNN(), against=against)
        for against in ("green", ["green"])
    ]
    np.testing.assert_array_equal(alike[0].maps, alike[1].maps)
    assert alike[0].against == ("green",)
