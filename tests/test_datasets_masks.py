"""Data sets with masks, and boxes from masks, on pictures made up here with everything that goes wrong on disks."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from xtool.contracts.protocols import Dataset, Sample
from xtool.datasets.imagenet_s import ImageNetS, open_imagenet_s
from xtool.datasets.imagenet_segmentation import open_imagenet_segmentation
from xtool.datasets.masks import component_boxes, mask_of
from xtool.datasets.placing import place_mask
from xtool.datasets.voc import open_voc
from xtool.errors import DataError, SetupError, UsageError
from xtool.image.files import Frame, open_values

Numbers = NDArray[np.uint8]


def mask_from(sample: Sample) -> NDArray[Any]:
    assert sample.open_mask is not None
    return sample.open_mask()


def block(size: tuple[int, int], *parts: tuple[int, int, int, int, int]) -> Numbers:
    """A picture [height, width] of zeros with rectangles x0 y0 x1 y1 of a value each."""
    values = np.zeros(size[::-1], np.uint8)
    for x0, y0, x1, y1, value in parts:
        values[y0:y1, x0:x1] = value
    return values


class TestMasks:
    def test_of_class_numbers_by_hand(self) -> None:
        numbers = np.array([[0, 7, 255], [8, 7, 0]])
        assert mask_of(numbers, 7, 255).tolist() == [[0, 1, 255], [0, 1, 0]]
        assert mask_of(np.array([[1000, 5, 255]]), 5, 1000).tolist() == [[255, 1, 0]]

    def test_boxes_are_those_of_parts_that_touch_by_their_sides(self) -> None:
        mask = block((40, 30), (2, 1, 10, 9, 1), (10, 9, 14, 14, 1), (30, 20, 40, 30, 1), (20, 20, 30, 30, 255))
        assert component_boxes(mask).tolist() == [[2, 1, 10, 9], [10, 9, 14, 14], [30, 20, 40, 30]]
        assert component_boxes(mask == 1).dtype == np.float64

    def test_specks_have_no_box_unless_there_is_nothing_else(self) -> None:
        speck = block((100, 100), (50, 50, 52, 55, 1))  # ten of ten thousand: a thousandth
        assert component_boxes(speck).tolist() == [[50, 50, 52, 55]]
        assert component_boxes(np.maximum(speck, block((100, 100), (0, 0, 1, 11, 1)))).tolist() == [[0, 0, 1, 11]]
        assert component_boxes(np.zeros((4, 4), bool)).shape == (0, 4)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_they_turn_with_their_image_as_pillow_turns_it(self, orientation: int) -> None:
        values = np.arange(12, dtype=np.uint8).reshape(3, 4)
        picture = Image.fromarray(values)
        picture.getexif()[0x0112] = orientation
        expected = np.asarray(ImageOps.exif_transpose(picture))
        frame = Frame((4, 3), orientation)
        assert place_mask(values, frame, "f").tolist() == expected.tolist()
        box = np.argwhere(expected == 6)[0][::-1]  # where pixel (2, 1) went
        assert frame.upright([[2, 1, 3, 2]])[0, :2].tolist() == box.tolist()

    def test_one_of_the_upright_size_stays_and_another_is_refused(self) -> None:
        upright = np.zeros((4, 3), np.uint8)
        assert place_mask(upright, Frame((4, 3), 6), "f") is upright
        with pytest.raises(DataError, match="f: the mask is 5 x 5, but the image is 4 x 3"):
            place_mask(np.zeros((5, 5), np.uint8), Frame((4, 3), 6), "f")

    def test_values_are_read_as_they_are_stored(self, tmp_path: Path) -> None:
        palette = Image.fromarray(np.array([[0, 15, 255]], np.uint8), "L").convert("P")
        palette.putpalette([7] * 768)  # every number shows the same colour
        palette.save(tmp_path / "a.png")
        assert open_values(tmp_path / "a.png").tolist() == [[0, 15, 255]]
        Image.new("RGBA", (2, 2)).save(tmp_path / "b.png")
        with pytest.raises(DataError, match=r"b\.png: labels in a picture of mode RGBA"):
            open_values(tmp_path / "b.png")
        with pytest.raises(DataError, match="no such file"):
            open_values(tmp_path / "c.png")


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two pictures of 40 × 20 with a dog and a raccoon each, the first one with a mask."""
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (40, 20)).save(tmp_path / f"JPEGImages/{name}.jpg")
        objects = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object>"
            for kind in ("dog", "raccoon", "tvmonitor")
        )
        (tmp_path / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    labels = Image.fromarray(block((40, 20), (0, 0, 10, 10, 255), (1, 1, 9, 9, 12), (20, 0, 30, 5, 20))).convert("P")
    labels.save(tmp_path / "SegmentationClass/a.png")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("a\n")
    return tmp_path


class TestVoc:
    def test_masks_are_of_the_classes_that_pascal_voc_numbers(self, voc: Path) -> None:
        dataset = open_voc(voc)
        samples = {dataset[index].id: dataset[index] for index in range(len(dataset))}
        dog = pickle.loads(pickle.dumps(samples["a.jpg#dog"]))
        mask = mask_from(dog)
        assert [int((mask == value).sum()) for value in (1, 255, 0)] == [64, 36, 700], "dog is 12"
        assert (mask_from(samples["a.jpg#tvmonitor"]) == 1).sum() == 50, "tvmonitor is 20"
        assert samples["a.jpg#raccoon"].open_mask is None
        assert samples["b.jpg#dog"].open_mask is None

    def test_a_split_with_a_folder_is_a_list_beside_main(self, voc: Path) -> None:
        dataset = open_voc(voc, "Segmentation/val")
        assert dataset.name == "voc:Segmentation/val"
        assert {dataset[index].id for index in range(len(dataset))} == {"a.jpg#dog", "a.jpg#raccoon", "a.jpg#tvmonitor"}
        with pytest.raises(UsageError, match=r"Segmentation/test\.txt: no such list"):
            open_voc(voc, "Segmentation/test")

    def test_a_mask_of_colours_or_of_another_size_is_refused(self, voc: Path) -> None:
        path = voc / "SegmentationClass/a.png"
        Image.new("RGB", (40, 20)).save(path)
        with pytest.raises(DataError, match=r"a\.png: is a picture of colours; one of class numbers is wanted"):
            mask_from(open_voc(voc)[0])
        Image.new("L", (20, 20)).save(path)
        with pytest.raises(DataError, match=r"a\.png: the mask is 20 x 20, but the image is 40 x 20"):
            mask_from(open_voc(voc)[0])


SYNSETS = ("n00000002", "n00000001", "n00000300")
NAMES = "n00000001 tench, Tinca tinca\nn00000002\tgoldfish\nn00000003 crane\nn00000300 ox\n"


def names_of(ids: Sequence[str]) -> str:
    return "".join(f"{each} thing {each}\n" for each in ids)


@pytest.fixture
def imagenet_s(tmp_path: Path) -> Callable[..., ImageNetS]:
    """Writes three classes with a picture of 40 × 20 each, whose mask is a square of ten, and opens the folder."""
    root = tmp_path / "ImageNetS50"

    def made(numbers: dict[str, int], categories: Sequence[str] | None = SYNSETS, names: str = NAMES) -> ImageNetS:
        for synset, number in numbers.items():
            image = root / "validation" / synset / f"ILSVRC2012_val_{synset[1:]}.JPEG"
            mask = root / "validation-segmentation" / synset / f"ILSVRC2012_val_{synset[1:]}.png"
            for path in (image, mask):
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 20), "green").save(image)
            red, green = np.zeros((2, 20, 40), np.uint8)
            red[5:15, 20:30], green[5:15, 20:30] = number % 256, number // 256
            red[0], green[0] = 1000 % 256, 1000 // 256
            Image.fromarray(np.stack([red, green, np.zeros_like(red)], axis=2)).save(mask)
        (tmp_path / "LOC_synset_mapping.txt").write_text(names)
        if categories is not None:
            (root / "ImageNetS_categories_im50.txt").write_text("\n".join(categories))
        return open_imagenet_s(root)

    return made


class TestImageNetS:
    def test_numbers_are_those_of_the_sorted_ids(self, imagenet_s: Callable[..., ImageNetS]) -> None:
        dataset = imagenet_s({"n00000001": 1, "n00000002": 2, "n00000300": 3})
        assert isinstance(dataset, Dataset)
        assert dataset.name == "imagenet-s:validation"
        assert list(dataset.classes) == [("tench", "Tinca tinca"), ("goldfish",), ("ox",)]
        sample = pickle.loads(pickle.dumps(dataset[0]))
        assert sample.id == "validation/n00000001/ILSVRC2012_val_00000001.JPEG"
        assert (sample.label, sample.synonyms, sample.class_index) == ("tench", ("tench", "Tinca tinca"), 0)
        assert sample.absent in ("goldfish", "ox")
        assert sample.boxes.tolist() == [[20, 5, 30, 15]]
        mask = mask_from(sample)
        assert [int((mask == value).sum()) for value in (1, 255, 0)] == [100, 40, 660]
        assert sample.open().size == mask.shape[::-1]

    def test_numbers_above_255_use_green(self, imagenet_s: Callable[..., ImageNetS]) -> None:
        many = [f"n{number:08}" for number in range(1, 301)]
        names = "".join(f"{each} thing {each}\n" for each in many)
        dataset = imagenet_s({"n00000300": 300, "n00000044": 44}, many[::-1], names)
        assert dataset[0].boxes.tolist() == dataset[1].boxes.tolist() == [[20, 5, 30, 15]], "300 is 44 and 1 · 256"

    def test_without_a_list_the_folders_are_the_classes_if_all_are_there(
        self, imagenet_s: Callable[..., ImageNetS]
    ) -> None:
        with pytest.raises(UsageError, match=r"there are 2 folders in validation-segmentation, not 50, 300 or 919"):
            imagenet_s({"n00000001": 1, "n00000300": 2}, None)
        many = {f"n{number:08}": number for number in range(1, 51)}
        dataset = imagenet_s(many | {"n00000300": 51}, [*many, "n00000300"], names_of([*many, "n00000300"]))
        assert len(dataset) == 51
        (dataset.root / "ImageNetS_categories_im50.txt").unlink()
        for folder in ("validation", "validation-segmentation"):
            shutil.rmtree(dataset.root / folder / "n00000300")
        assert open_imagenet_s(dataset.root)[49].class_index == 49

    def test_classes_that_were_merged_have_the_names_of_both(self, imagenet_s: Callable[..., ImageNetS]) -> None:
        ids = [*(f"n{number:08}" for number in range(1, 919)), "n04355933"]
        names = names_of([*ids, "n04356056"]).replace("thing n04355933", "sunglass").replace(
            "thing n04356056", "sunglasses, shades"
        )  # fmt: skip
        dataset = imagenet_s({"n04355933": 919}, ids, names)
        assert dataset[0].synonyms == ("sunglass", "sunglasses", "shades")

    def test_a_mask_without_its_class_is_said(self, imagenet_s: Callable[..., ImageNetS]) -> None:
        dataset = imagenet_s({"n00000001": 1, "n00000300": 2})
        with pytest.raises(
            DataError, match=r"00000300\.png: has no pixel of 3, the number of n00000300 among 3 classes"
        ):
            dataset[1]

    def test_missing_files_are_problems_of_their_samples(self, imagenet_s: Callable[..., ImageNetS]) -> None:
        dataset = imagenet_s({"n00000001": 1, "n00000300": 3})
        next(dataset.root.glob("validation-segmentation/n00000300/*")).unlink()
        with pytest.raises(DataError, match=r"00000300\.png: no such file"):
            dataset[1]
        assert dataset[0].label == "tench"

    def test_what_is_not_there_is_said_with_where_one_looked(
        self, imagenet_s: Callable[..., ImageNetS], tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="needs --data-dir"):
            open_imagenet_s(None)
        with pytest.raises(UsageError, match="not 'test'; its masks are not public"):
            open_imagenet_s(tmp_path, "test")
        with pytest.raises(UsageError, match=r"no folder validation of ImageNet-S there$"):
            open_imagenet_s(tmp_path)
        dataset = imagenet_s({"n00000001": 1})
        with pytest.raises(UsageError, match="did you mean one of ImageNetS50 in it"):
            open_imagenet_s(tmp_path)
        with pytest.raises(UsageError, match="n00000001 are none of the 1 classes"):
            imagenet_s({"n00000001": 1}, ["n00000300"])
        with pytest.raises(UsageError, match="WordNet ids like n01440764 are wanted, got 'tench'"):
            imagenet_s({"n00000001": 1}, ["tench"])
        with pytest.raises(UsageError, match="n00000001 have no name"):
            imagenet_s({"n00000001": 1}, ["n00000001"], "n00000300 ox\n")
        (tmp_path / "LOC_synset_mapping.txt").unlink()
        with pytest.raises(
            UsageError, match=r"no names of classes: looked for LOC_synset_mapping\.txt and words\.txt in"
        ):
            open_imagenet_s(dataset.root)
        shutil.rmtree(dataset.root / "validation/n00000001")
        with pytest.raises(UsageError, match="no images there"):
            open_imagenet_s(dataset.root)


def write_gtsegs(path: Path, images: list[tuple[str, Numbers, Numbers]], leave_out: str = "") -> None:
    """The layout of ``gtsegs_ijcv.mat``: cells of references, arrays with their axes reversed, texts as codes."""
    h5py = pytest.importorskip("h5py", reason="needs xtool-saliency[hdf5]")
    with h5py.File(path, "w") as file:
        cells: dict[str, list[Any]] = {"id": [], "img": [], "gt": []}
        for number, (name, pixels, mask) in enumerate(images):
            codes = np.array([[ord(letter)] for letter in name], np.uint16)
            cells["id"].append(file.create_dataset(f"#refs#/id{number}", data=codes).ref)
            cells["img"].append(file.create_dataset(f"#refs#/img{number}", data=pixels.T).ref)
            inner = file.create_dataset(f"#refs#/mask{number}", data=mask.T)
            cell = file.create_dataset(f"#refs#/gt{number}", (1, 1), h5py.ref_dtype)
            cell[0, 0] = inner.ref
            cells["gt"].append(cell.ref)
        for key, references in cells.items():
            if key != leave_out:
                table = file.create_dataset(f"value/{key}", (len(references), 1), h5py.ref_dtype)
                for row, reference in enumerate(references):
                    table[row, 0] = reference


@pytest.fixture
def gtsegs(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    square = block((40, 20), (10, 5, 20, 10, 1))
    write_gtsegs(
        tmp_path / "gtsegs_ijcv.mat",
        [
            ("n00000002_10", picture, square),
            ("n00000001_7", picture[..., 0], square.T.copy().T),
            ("n00000009_1", picture, square),
            ("nonsense", picture, square),
            ("n00000001_8", picture, np.zeros_like(square)),
        ],
    )
    (tmp_path / "words.txt").write_text(NAMES)
    return tmp_path


class TestImageNetSegmentation:
    def test_a_sample_by_hand(self, gtsegs: Path) -> None:
        dataset = open_imagenet_segmentation(gtsegs)
        assert isinstance(dataset, Dataset)
        assert (dataset.name, len(dataset)) == ("imagenet-segmentation", 5)
        assert list(dataset.classes) == [("tench", "Tinca tinca"), ("goldfish",)], "those of the file with a name"
        sample = pickle.loads(pickle.dumps(dataset[0]))
        assert (sample.id, sample.label, sample.class_index, sample.absent) == ("n00000002_10", "goldfish", 1, "tench")
        assert sample.boxes.tolist() == [[10, 5, 20, 10]]
        expected = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
        assert np.array_equal(np.asarray(sample.open()), expected), "rows, columns and colours are in their places"
        assert mask_from(sample).tolist() == (block((40, 20), (10, 5, 20, 10, 1)) == 1).tolist()

    def test_grey_images_are_opened_too(self, gtsegs: Path) -> None:
        sample = open_imagenet_segmentation(gtsegs / "gtsegs_ijcv.mat")[1]
        assert sample.open().mode == "RGB"
        assert sample.open().size == (40, 20)

    def test_unusable_images_are_samples_that_raise(self, gtsegs: Path) -> None:
        dataset = open_imagenet_segmentation(gtsegs)
        for index, message in (
            (2, r"image 3: n00000009 has no name in LOC_synset_mapping\.txt; words\.txt of ImageNet has"),
            (3, "image 4: the id 'nonsense' is none like n01773549_123"),
            (4, "image 5: the mask of n00000001_8 is empty"),
        ):
            with pytest.raises(DataError, match=message):
                dataset[index]

    def test_what_is_not_there_is_said(self, gtsegs: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="needs --data-dir"):
            open_imagenet_segmentation(None)
        with pytest.raises(UsageError, match="has no splits, so not 'val' either"):
            open_imagenet_segmentation(gtsegs, "val")
        with pytest.raises(UsageError, match=r"gtsegs_ijcv\.mat: no such file"):
            open_imagenet_segmentation(tmp_path / "elsewhere")
        write_gtsegs(gtsegs / "gtsegs_ijcv.mat", [], leave_out="id")
        with pytest.raises(UsageError, match="not the HDF5 file of ImageNet-Segmentation"):
            open_imagenet_segmentation(gtsegs)
        (gtsegs / "gtsegs_ijcv.mat").write_text("MATLAB 5.0 MAT-file")
        with pytest.raises(UsageError, match="not the HDF5 file of ImageNet-Segmentation"):
            open_imagenet_segmentation(gtsegs)

    def test_without_h5py_one_is_told_what_to_install(self, gtsegs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(SetupError, match=r'needs h5py: pip install "xtool-saliency\[hdf5\]"'):
            open_imagenet_segmentation(gtsegs)
