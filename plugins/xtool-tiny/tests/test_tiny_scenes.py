"""The sealed benchmark is what it says it is."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from xtool.plugin import Dataset, UsageError
from xtool_tiny.drawings import vendors
from xtool_tiny.scenes import SPLITS, Scenes, open_scenes
from xtool_tiny.things import things

COUNTS = {"test": 320, "val": 160, "cross": 160, "single": 212}


@pytest.fixture(params=SPLITS)
def scenes(request: pytest.FixtureRequest) -> Scenes:
    return open_scenes(None, request.param)


def test_the_default_split_is_test() -> None:
    assert open_scenes(None, None).name == "scenes:test"


def test_an_unknown_split_and_a_data_folder_are_refused() -> None:
    with pytest.raises(UsageError, match="test, val, cross, single"):
        open_scenes(None, "train")
    with pytest.raises(UsageError, match="no data folder"):
        open_scenes("/data", None)


def test_scenes_is_a_dataset_with_all_its_samples(scenes: Scenes) -> None:
    assert isinstance(scenes, Dataset)
    assert len(scenes) == COUNTS[scenes.name.split(":")[1]]
    assert len({scenes[index].id for index in range(len(scenes))}) == len(scenes)
    assert len(scenes.fingerprint()) == 16


def test_everything_that_ships_is_at_most_six_megabytes() -> None:
    folder = files("xtool_tiny").joinpath("data/scenes")
    assert sum(len(folder.joinpath(f"{split}.zip").read_bytes()) for split in SPLITS) <= 6_000_000


def test_boxes_are_the_extent_of_the_masks(scenes: Scenes) -> None:
    for index in range(0, len(scenes), 7):
        sample = scenes[index]
        assert sample.open_mask is not None
        mask = sample.open_mask()
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        hull = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        low, high = sample.boxes[:, :2].min(0), sample.boxes[:, 2:].max(0)
        assert (*low, *high) == hull


def test_boxes_lie_in_the_image(scenes: Scenes) -> None:
    for index in range(len(scenes)):
        boxes = scenes[index].boxes
        assert len(boxes) >= 1
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0
        assert boxes.max() <= 224


def test_images_are_rgb_of_the_models_input_size(scenes: Scenes) -> None:
    image = scenes[len(scenes) - 1].open()
    assert (image.mode, image.size) == ("RGB", (224, 224))


def test_the_absent_thing_is_not_there_and_the_distractor_is(scenes: Scenes) -> None:
    for index in range(len(scenes)):
        sample, here = scenes[index], {placed["thing"] for placed in scenes.objects(index)}
        assert sample.label in here
        assert sample.absent not in here
        assert (sample.distractor is None) == (len(here) == 1)
        assert sample.distractor is None or sample.distractor in here - {sample.label}


def test_labels_are_classes(scenes: Scenes) -> None:
    for index in range(len(scenes)):
        sample = scenes[index]
        assert sample.class_index is not None
        assert scenes.classes[sample.class_index] == sample.synonyms
        assert sample.synonyms[0] == sample.label


def test_single_scenes_show_every_thing_twice() -> None:
    scenes = open_scenes(None, "single")
    shown = [placed["thing"] for index in range(len(scenes)) for placed in scenes.objects(index)]
    assert sorted(shown) == sorted([thing.name for thing in things()] * 2)


def test_some_scenes_show_several_of_the_target() -> None:
    scenes = open_scenes(None, "test")
    assert sum(len(scenes[index].boxes) > 1 for index in range(len(scenes))) >= 10


def test_only_cross_shows_the_held_out_vendors_drawings(scenes: Scenes) -> None:
    shown = {placed["vendor"] for index in range(len(scenes)) for placed in scenes.objects(index)}
    assert shown <= vendors("held-out" if scenes.name == "scenes:cross" else "train")
