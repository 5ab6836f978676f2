"""The data sets on real photographs with real boxes."""

from __future__ import annotations

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from xtool.contracts.protocols import Dataset
from xtool.datasets.imagenet import open_imagenet
from xtool.datasets.imagenet_labels import CsvLabels, WsolLabels, XmlLabels
from xtool.datasets.voc import open_voc

DATA = Path(__file__).parents[1] / "../shared/data"
MINI = DATA / "ilsvrc-val-mini"
RACCOONS = DATA / "raccoon-mini"
IMAGES = MINI / "ILSVRC/Data/CLS-LOC/val"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no real photographs in ../shared/data")


def layout(tmp_path, *links):
    """A folder with links to some parts of the data."""
    for name, target in links:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target.resolve())
    return tmp_path / "data"


MAPPING = ("LOC_synset_mapping.txt", MINI / "LOC_synset_mapping.txt")
LAYOUTS = {
    "kaggle csv": (
        CsvLabels,
        [MAPPING, ("ILSVRC/Data", MINI / "ILSVRC/Data"), ("LOC_val_solution.csv", MINI / "LOC_val_solution.csv")],
    ),
    "kaggle xml": (XmlLabels, [MAPPING, ("ILSVRC", MINI / "ILSVRC")]),
    "wsol": (WsolLabels, [MAPPING, ("val", IMAGES), *((f.name, f) for f in sorted((MINI / "wsol").glob("*.txt")))]),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_all_layouts_say_the_same(kind, tmp_path):
    labels, links = LAYOUTS[kind]
    dataset = open_imagenet(layout(tmp_path, *links))
    assert isinstance(dataset.labels, labels)
    assert isinstance(dataset, Dataset)
    reference = open_imagenet(MINI)
    assert len(dataset) == len(reference) == 18
    assert len(dataset.classes) == 1000
    for index in range(18):
        ours, other = dataset[index], reference[index]
        for field in ("id", "label", "synonyms", "class_index", "absent"):
            assert getattr(ours, field) == getattr(other, field)
        np.testing.assert_array_equal(ours.boxes, other.boxes)
        assert ours.open().tobytes() == other.open().tobytes()


def test_the_tar_is_read_as_it_is(tmp_path):
    folder = layout(tmp_path, MAPPING, ("LOC_val_solution.csv", MINI / "LOC_val_solution.csv"))
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as tar:
        for path in sorted(IMAGES.glob("*.JPEG")):
            tar.add(path, path.name)
    reference = open_imagenet(MINI)
    for given in (folder, folder / "ILSVRC2012_img_val.tar"):
        dataset = open_imagenet(given)
        assert [dataset[i].id for i in range(18)] == [reference[i].id for i in range(18)]
        sample = pickle.loads(pickle.dumps(dataset[13]))
        assert sample.open().tobytes() == reference[13].open().tobytes()


def test_a_sample_by_hand():
    sample = open_imagenet(MINI)[0]
    assert sample.id == "val/ILSVRC2012_val_00004646.JPEG"
    assert sample.label == "traffic light"
    assert sample.synonyms == ("traffic light", "traffic signal", "stoplight")
    assert sample.class_index == 920
    assert sample.boxes.tolist() == [[154, 108, 172, 128], [427, 199, 458, 259], [148, 74, 179, 132]]
    assert sample.absent not in sample.synonyms


def test_imagenet_boxes_reach_the_border_of_the_image_and_never_leave_it():
    reached = 0
    for dataset in (open_imagenet(MINI),):
        for index in range(len(dataset)):
            sample = dataset[index]
            width, height = sample.open().size
            assert (sample.boxes >= 0).all()
            assert (sample.boxes <= [width, height, width, height]).all()
            reached += int((sample.boxes[:, 2] == width).sum() + (sample.boxes[:, 3] == height).sum())
    assert reached == 10, "xmax = width - 1 five times, ymax = height - 1 five times: the last pixel is inside"


def test_pointing_at_a_part_finds_the_whole():
    for part in ("ILSVRC", "wsol"):
        assert open_imagenet(MINI / part)[3].boxes.tolist() == [[0, 90, 423, 375]]


def test_raccoons_are_counted_from_one():
    dataset = open_voc(RACCOONS)
    assert isinstance(dataset, Dataset)
    assert len(dataset) == 40
    assert list(dataset.classes) == []
    by_id = {dataset[i].id: dataset[i] for i in range(40)}
    sample = by_id["raccoon-020.jpg#raccoon"]  # 1 20 500 349 in 500 x 375
    assert sample.boxes.tolist() == [[0, 19, 500, 349]]
    assert sample.label == "raccoon"
    assert sample.absent is None
    assert len(by_id["raccoon-055.jpg#raccoon"].boxes) == 2


def test_fingerprints_are_stable_and_differ():
    assert open_imagenet(MINI).fingerprint() == open_imagenet(MINI).fingerprint()
    assert open_voc(RACCOONS).fingerprint() != open_imagenet(MINI).fingerprint()
