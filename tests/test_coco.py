"""COCO instances: samples, boxes, masks, crowds and what is wrong with a file, on pictures made up here."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xtool.contracts.protocols import Dataset
from xtool.datasets.coco import Coco, open_coco
from xtool.datasets.coco_masks import decode, polygon_mask, run_length_mask, run_lengths
from xtool.datasets.table import open_table
from xtool.errors import DataError, UsageError
from xtool.image.files import open_frame

SMALL = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
SMALL_COUNTS = [1, 1, 1, 2, 1, 1, 4, 1]
"""Down the columns: 0 | 1 | 0 | 1 1 | 0 | 1 | 0 0 0 0 | 1."""


class TestMasks:
    def test_run_lengths_go_down_the_columns_and_begin_with_the_background(self) -> None:
        assert run_length_mask(SMALL_COUNTS, (4, 3)).tolist() == SMALL.tolist()
        assert run_length_mask([0, 6], (2, 3)).all()

    def test_their_text_is_that_of_pycocotools(self) -> None:
        """Encoded with pycocotools 2.0.11 from the masks that are described here."""
        assert decode({"counts": "11110O30", "size": [3, 4]}, (4, 3)).tolist() == SMALL.tolist()
        stripes = np.zeros((100, 60), bool)
        stripes[10:90:7, 3:57:5] = True
        found = decode({"counts": STRIPES, "size": [100, 60]}, (60, 100))
        assert (found == stripes).all()
        rectangle = np.zeros((480, 640), bool)
        rectangle[100:300, 50:600] = True
        counts = "Tag0X6h8" + "0" * 1097 + "ldb0"
        assert (decode({"counts": counts, "size": [480, 640]}, (640, 480)) == rectangle).all()

    def test_a_polygon_has_the_pixels_whose_centres_it_holds(self) -> None:
        found = polygon_mask([2, 1, 7, 1, 7, 4, 2, 4], (12, 6))
        assert np.argwhere(found).min(axis=0).tolist() == [1, 2]
        assert np.argwhere(found).max(axis=0).tolist() == [3, 6]
        assert found.sum() == 15
        triangle = polygon_mask([0, 0, 4, 0, 0, 4], (4, 4))  # centres with x + y < 4: those on the edge do not count
        assert triangle.astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]

    def test_polygons_agree_with_a_ray_from_each_centre(self) -> None:
        random = np.random.default_rng(0)
        for _ in range(30):
            corners = random.uniform(-3, 23, (int(random.integers(3, 9)), 2))
            found = polygon_mask(corners.ravel().tolist(), (20, 15))
            for y in range(15):
                for x in range(20):
                    assert found[y, x] == crosses_an_odd_number(corners, x + 0.5, y + 0.5)

    def test_polygons_of_one_instance_go_together(self) -> None:
        two = decode([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]], (4, 4))
        assert two.sum() == 7

    @pytest.mark.parametrize(
        ("segmentation", "message"),
        [
            ([[0, 0, 1, 1]], "three corners"),
            ([[0, 0, 1, 1, 2, 2, 3]], "three corners"),
            ({"counts": [3, 4], "size": [3, 4]}, "add up to 7 in an image of 12"),
            ({"counts": [-1, 13], "size": [3, 4]}, "add up"),
            ({"counts": "1 1", "size": [3, 4]}, "is in no text of run lengths"),
            ({"counts": "P", "size": [3, 4]}, "ends inside a number"),
            ({"counts": [1.5], "size": [3, 4]}, "whole numbers"),
            ({"counts": [12], "size": [4, 3]}, r"size \[4, 3\] in an image of height and width \[3, 4\]"),
            ("nonsense", "neither polygons nor run lengths"),
        ],
    )
    def test_what_is_no_segmentation_is_said(self, segmentation: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            decode(segmentation, (4, 3))

    def test_a_text_of_nothing_has_no_run_lengths(self) -> None:
        assert run_lengths("") == []


STRIPES = "f916" + "000000000000000000000P=0PC" * 10 + "000000000000000000000nb0"


def crosses_an_odd_number(corners: np.ndarray[Any, Any], x: float, y: float) -> bool:
    """Whether a ray to the right crosses an odd number of edges, one edge after the other."""
    odd = False
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if (ay > y) != (by > y) and ax + (y - ay) / (by - ay) * (bx - ax) > x:
            odd = not odd
    return odd


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def annotation(image: int, category: int, box: list[float], **more: Any) -> dict[str, Any]:
    corners = square(int(box[0]), int(box[1]), int(box[2]))
    return {"image_id": image, "category_id": category, "bbox": box, "segmentation": corners, "iscrowd": 0, **more}


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Coco]:
    """Writes two pictures of 40 × 20 and a file with these annotations, and opens it."""

    def made(*annotations: dict[str, Any], **changes: Any) -> Coco:
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "val2017").mkdir(exist_ok=True)
        for name in ("a.jpg", "b.jpg"):
            Image.new("RGB", (40, 20), "green").save(tmp_path / "val2017" / name)
        told = {
            "images": [
                {"id": 7, "file_name": "a.jpg", "width": 40, "height": 20},
                {"id": 3, "file_name": "b.jpg", "width": 40, "height": 20},
            ],
            "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
            "annotations": [{"id": number, **each} for number, each in enumerate(annotations)],
            **changes,
        }
        (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(told))
        return open_coco(tmp_path)

    return made


class TestSamples:
    def test_by_hand(self, coco: Callable[..., Coco]) -> None:
        dataset = coco(
            annotation(7, 18, [2.5, 3, 4, 4]),
            annotation(3, 1, [0, 0, 10, 10]),
            annotation(7, 1, [20, 5, 5, 5]),
            annotation(7, 18, [10, 3, 6, 6.5]),
        )
        assert isinstance(dataset, Dataset)
        assert dataset.name == "coco:val2017"
        assert list(dataset.classes) == [("person",), ("dog",), ("toothbrush",)]
        samples = [dataset[index] for index in range(len(dataset))]
        assert [sample.id for sample in samples] == ["a.jpg#person", "a.jpg#dog", "b.jpg#person"]
        dog = samples[1]
        assert dog.boxes.tolist() == [[2.5, 3, 6.5, 7], [10, 3, 16, 9.5]]
        assert (dog.label, dog.class_index, dog.distractor, dog.absent) == ("dog", 1, "person", "toothbrush")
        assert samples[2].distractor is None
        assert samples[2].absent in ("dog", "toothbrush")
        assert dog.open().size == (40, 20)
        assert dog.open_mask is not None
        mask = pickle.loads(pickle.dumps(dog)).open_mask()
        assert mask.sum() == 16 + 36
        assert mask[3:7, 2:6].all()

    def test_a_crowd_is_no_instance_and_is_ignored_in_the_mask(self, coco: Callable[..., Coco]) -> None:
        crowd = {"counts": [0, 400, 400], "size": [20, 40]}  # the left half
        dataset = coco(
            annotation(7, 1, [0, 0, 20, 20], segmentation=crowd, iscrowd=1),
            annotation(7, 1, [15, 0, 10, 10]),
            annotation(3, 18, [0, 0, 20, 20], segmentation=crowd, iscrowd=1),
            annotation(3, 1, [0, 0, 5, 5]),
        )
        assert [dataset[index].id for index in range(len(dataset))] == ["a.jpg#person", "b.jpg#person"]
        first, second = dataset[0], dataset[1]
        assert first.boxes.tolist() == [[15, 0, 25, 10]]
        assert first.open_mask is not None
        mask = first.open_mask()
        assert [int((mask == value).sum()) for value in (0, 1, 255)] == [350, 100, 350], "an instance is above a crowd"
        assert (second.distractor, second.absent) == ("dog", "toothbrush"), "the crowd of dogs is there"

    def test_an_instance_without_segmentation_leaves_its_kind_without_a_mask(self, coco: Callable[..., Coco]) -> None:
        dataset = coco(annotation(7, 1, [0, 0, 5, 5]), annotation(7, 1, [9, 9, 5, 5], segmentation=[]))
        assert dataset[0].open_mask is None

    def test_empty_boxes_are_left_out(self, coco: Callable[..., Coco]) -> None:
        dataset = coco(annotation(7, 1, [0, 0, 5, 5]), annotation(7, 1, [9, 9, 0, 5]), annotation(7, 18, [9, 9, 5, 0]))
        assert len(dataset) == 1
        assert len(dataset[0].boxes) == 1
        assert dataset[0].absent == "toothbrush"

    def test_one_category_is_no_choice(self, coco: Callable[..., Coco]) -> None:
        dataset = coco(annotation(7, 1, [0, 0, 5, 5]), categories=[{"id": 1, "name": "person"}])
        assert list(dataset.classes) == []
        assert (dataset[0].class_index, dataset[0].absent) == (None, None)

    def test_the_fingerprint_is_of_all_that_is_told(self, coco: Callable[..., Coco]) -> None:
        one = coco(annotation(7, 1, [0, 0, 5, 5])).fingerprint()
        assert one == coco(annotation(7, 1, [0, 0, 5, 5])).fingerprint()
        assert one != coco(annotation(7, 1, [0, 0, 5, 5], segmentation=square(0, 0, 4))).fingerprint()


class TestErrors:
    def test_wrong_ids_are_named(self, coco: Callable[..., Coco]) -> None:
        with pytest.raises(UsageError, match=r"val2017\.json: annotation 1 is of the image 99, which the file lacks"):
            coco(annotation(7, 1, [0, 0, 5, 5]), annotation(99, 1, [0, 0, 5, 5]))
        with pytest.raises(UsageError, match="annotation 0 is of the category 5, which the file lacks"):
            coco(annotation(7, 5, [0, 0, 5, 5]))

    def test_another_format_is_said(self, coco: Callable[..., Coco], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"not in the format of COCO instances, .* \(KeyError: 'bbox'\)"):
            coco({"image_id": 7, "category_id": 1, "caption": "a dog"})
        path = tmp_path / "annotations" / "instances_val2017.json"
        for text, message in (
            ("[]", "not in the format"),
            ("{", "cannot be read as JSON"),
            ("{}", "not in the format"),
        ):
            path.write_text(text)
            with pytest.raises(UsageError, match=message):
                open_coco(tmp_path)

    def test_a_segmentation_that_cannot_be_decoded_is_a_problem_of_its_sample(self, coco: Callable[..., Coco]) -> None:
        sample = coco(annotation(7, 1, [0, 0, 5, 5], segmentation={"counts": [1], "size": [20, 40]}))[0]
        assert sample.open_mask is not None
        with pytest.raises(DataError, match=r"a\.jpg, person: the segmentation cannot be decoded: .* add up to 1 "):
            sample.open_mask()

    def test_missing_and_resized_images_are_problems_of_their_samples(
        self, coco: Callable[..., Coco], tmp_path: Path
    ) -> None:
        dataset = coco(annotation(7, 1, [0, 0, 5, 5]), annotation(3, 1, [0, 0, 5, 5]))
        Image.new("RGB", (20, 10)).save(tmp_path / "val2017/a.jpg")
        (tmp_path / "val2017/b.jpg").unlink()
        with pytest.raises(DataError, match="annotated at 40 x 20, but the image is 20 x 10"):
            dataset[0]
        with pytest.raises(DataError, match=r"b\.jpg: no such file"):
            dataset[1]

    def test_what_is_not_there_is_said_with_where_one_looked(self, coco: Callable[..., Coco], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="needs --data-dir"):
            open_coco(None)
        with pytest.raises(UsageError, match=r"annotations/instances_\*\.json is wanted, and there is none"):
            open_coco(tmp_path)
        coco(annotation(7, 1, [0, 0, 5, 5]))
        first = tmp_path / "annotations/instances_val2017.json"
        (tmp_path / "annotations/instances_train2017.json").write_bytes(first.read_bytes())
        with pytest.raises(UsageError, match="there are train2017, val2017: choose one with --dataset coco:NAME"):
            open_coco(tmp_path)
        with pytest.raises(UsageError, match=r"instances_test\.json is wanted, and there are train2017, val2017"):
            open_coco(tmp_path, "test")
        assert open_coco(tmp_path, "val2017").name == "coco:val2017"
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "mine.json").write_bytes(first.read_bytes())
        with pytest.raises(UsageError, match=r"no images of COCO there; looked for a\.jpg in .*mine"):
            open_coco(elsewhere / "mine.json")

    def test_the_file_itself_may_be_given_beside_its_images(self, coco: Callable[..., Coco], tmp_path: Path) -> None:
        coco(annotation(7, 1, [0, 0, 5, 5]))
        (tmp_path / "annotations/instances_val2017.json").rename(tmp_path / "val2017/mine.json")
        dataset = open_coco(tmp_path / "val2017/mine.json")
        assert dataset.name == "coco:mine"
        assert dataset[0].open().size == (40, 20)


def test_real_photographs_have_the_boxes_that_a_table_of_them_has(shared_data: Path, tmp_path: Path) -> None:
    """The boxes of 160 COCO photographs, written as COCO writes them, and read beside the table that has them."""
    folder = shared_data / "coco-160"
    rows = [json.loads(line) for line in (folder / "photos.jsonl").read_text("utf-8").splitlines()][:40]
    labels, files = sorted({row["label"] for row in rows}), sorted({row["image"] for row in rows})
    sizes = {file: open_frame(folder / file).size for file in files}
    told = {
        "categories": [{"id": number, "name": label} for number, label in enumerate(labels)],
        "images": [
            {"id": number, "file_name": Path(file).name, "width": sizes[file][0], "height": sizes[file][1]}
            for number, file in enumerate(files)
        ],
        "annotations": [
            {"image_id": files.index(row["image"]), "category_id": labels.index(row["label"]),
             "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for row in rows for x0, y0, x1, y1 in row["boxes"]
        ],
    }  # fmt: skip
    (tmp_path / "instances_few.json").write_text(json.dumps(told))
    (tmp_path / "images").symlink_to((folder / "images").resolve())
    dataset, table = open_coco(tmp_path), open_table(folder / "photos.jsonl")
    assert len(dataset) == len(rows)
    expected = {sample.id: sample for sample in (table[index] for index in range(len(rows)))}
    for index in range(len(dataset)):
        sample = dataset[index]
        np.testing.assert_allclose(sample.boxes, expected[f"images/{sample.id}"].boxes, atol=1e-9)
        assert sample.open_mask is None
