"""Data sets with everything that goes wrong on disks, on pictures made up here."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from xtool.datasets import xtool_datasets
from xtool.datasets.imagenet import open_imagenet
from xtool.datasets.placing import half_open, place_boxes
from xtool.datasets.table import open_table
from xtool.datasets.voc import open_voc
from xtool.errors import DataError, UsageError
from xtool.image.files import Frame


def picture(path, size=(40, 20), orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, "green").save(path, exif=exif)


def xml(path, *objects, size=(40, 20), filename=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    items = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for name, a, b, c, d in objects
    )
    frame = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    path.write_text(f"<annotation><filename>{filename}</filename>{frame}{items}</annotation>")


def test_listing_the_data_sets_imports_nothing_heavy():
    code = (
        "import sys; from xtool.datasets import xtool_datasets; list(xtool_datasets());"
        "print([m for m in ('numpy', 'torch', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_listed_factories_exist():
    for spec in xtool_datasets():
        module, _, name = spec.factory.partition(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))


class TestPlacing:
    def test_conventions(self):
        assert half_open([[3, 4, 5, 6]], "half-open").tolist() == [[3, 4, 5, 6]]
        assert half_open([[3, 4, 5, 6]], "zero-based").tolist() == [[3, 4, 6, 7]]
        assert half_open([[3, 4, 5, 6]], "one-based").tolist() == [[2, 3, 5, 6]]

    def test_a_pixel_outside_is_cut_and_more_is_an_error(self):
        frame = Frame((40, 20), 1)
        assert place_boxes(np.array([[-1.0, 0, 41, 20]]), frame, "f").tolist() == [[0, 0, 40, 20]]
        with pytest.raises(DataError, match="f: the box 0 0 42 20 lies outside the image of 40 x 20"):
            place_boxes(np.array([[0.0, 0, 42, 20]]), frame, "f")

    @pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 5, 5, 9], [np.nan, 0, 1, 1]])
    def test_empty_boxes_are_errors(self, box):
        with pytest.raises(DataError, match="is empty"):
            place_boxes(np.array([box], float), Frame((40, 20), 1), "f")

    def test_boxes_of_stored_pixels_turn_with_the_image(self):
        frame = Frame((40, 20), 6)  # shown as 20 x 40
        assert place_boxes(np.array([[0.0, 0, 10, 5]]), frame, "f", (40, 20)).tolist() == [[15, 0, 20, 10]]
        assert place_boxes(np.array([[0.0, 0, 10, 5]]), frame, "f").tolist() == [[15, 0, 20, 10]]

    def test_boxes_that_were_drawn_on_the_upright_image_stay(self):
        assert place_boxes(np.array([[0.0, 0, 5, 10]]), Frame((40, 20), 6), "f", (20, 40)).tolist() == [[0, 0, 5, 10]]

    def test_another_size_than_annotated_is_an_error(self):
        with pytest.raises(DataError, match="annotated at 80 x 40, but the image is 40 x 20"):
            place_boxes(np.array([[0.0, 0, 5, 5]]), Frame((40, 20), 1), "f", (80, 40))


@pytest.fixture
def kaggle(tmp_path):
    (tmp_path / "LOC_synset_mapping.txt").write_text(
        "n00000002 tench, Tinca tinca\nn00000001 crane, crane\nn00000003 goldfish\n"
    )
    for name in "abcdef":
        picture(tmp_path / f"ILSVRC/Data/CLS-LOC/val/{name}.JPEG")
    return tmp_path


class TestImageNet:
    def csv(self, folder, *rows):
        (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]))
        return open_imagenet(folder)

    def test_classes_are_in_the_order_of_their_ids(self, kaggle):
        dataset = self.csv(kaggle, "a,n00000002 0 0 39 19 ")
        assert list(dataset.classes) == [("crane",), ("tench", "Tinca tinca"), ("goldfish",)]
        assert dataset[0].class_index == 1

    def test_problems_surface_with_file_and_line_where_the_sample_is_taken(self, kaggle):
        dataset = self.csv(
            kaggle,
            "a,n00000001 0 0 9 9",
            "b,n00000001 0 0 9",
            "c,n00000009 0 0 9 9",
            "d,n00000001 0 0 x 9",
            "missing,n00000001 0 0 9 9",
            "e,n00000001 0 0 99 9",
            "f,",
        )
        assert len(dataset) == 7
        assert dataset[0].boxes.tolist() == [[0, 0, 10, 10]]
        expected = [
            r"solution\.csv: line 3: 4 numbers",
            r"line 4: unknown synset n00000009",
            r"solution\.csv: line 5: 4 numbers are wanted, got '0 0 x 9'",
            r"missing\.JPEG: no such file",
            r"e\.JPEG: the box 0 0 100 10 lies outside",
            r"line 8: has no object",
        ]
        for index, message in enumerate(expected, start=1):
            with pytest.raises(DataError, match=message):
                dataset[index]

    def test_broken_xml_and_wsol_files_are_named(self, kaggle):
        folder = kaggle / "ILSVRC/Annotations/CLS-LOC/val"
        xml(folder / "a.xml", ("n00000001", 0, 0, 39, 19))
        (folder / "b.xml").write_text("<annotation><object>")
        xml(folder / "c.xml")
        xml(folder / "d.xml", ("n00000001", 0, 0, "", 9))
        dataset = open_imagenet(kaggle)
        assert dataset[0].boxes.tolist() == [[0, 0, 40, 20]]
        for index, message in (
            (1, r"b\.xml: not an XML"),
            (2, r"c\.xml: has no object"),
            (3, r"d\.xml: object 1 \(n00000001\)"),
        ):
            with pytest.raises(DataError, match=message):
                dataset[index]

    def test_wsol_lines_that_are_missing_or_malformed_are_named(self, kaggle):
        (kaggle / "image_ids.txt").write_text("val/a.JPEG\nval/b.JPEG\nval/c.JPEG\n")
        (kaggle / "class_labels.txt").write_text("val/a.JPEG,0\nval/b.JPEG,1\nval/c.JPEG,7\n")
        (kaggle / "localization.txt").write_text("val/a.JPEG,0,0,9,9\nval/b.JPEG,1,2\nval/c.JPEG,0,0,9,9\n")
        dataset = open_imagenet(kaggle)
        assert dataset[0].label == "crane"
        with pytest.raises(DataError, match=r"localization\.txt: line 2: 4 numbers"):
            dataset[1]
        with pytest.raises(DataError, match="unknown class 7"):
            dataset[2]

    def test_a_truncated_image_is_found_when_it_is_opened(self, kaggle):
        path = kaggle / "ILSVRC/Data/CLS-LOC/val/a.JPEG"
        noise = np.random.default_rng(0).integers(0, 255, (20, 40, 3), np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:-200])
        sample = self.csv(kaggle, "a,n00000001 0 0 9 9")[0]
        with pytest.raises(DataError, match=r"a\.JPEG"):
            sample.open()

    def test_what_is_not_there_is_said_with_where_one_looked(self, tmp_path):
        with pytest.raises(UsageError, match=r"no images of ImageNet there; looked .* ILSVRC2012_img_val\.tar"):
            open_imagenet(tmp_path)
        picture(tmp_path / "val/a.JPEG")
        with pytest.raises(UsageError, match=r"no boxes .* LOC_val_solution\.csv"):
            open_imagenet(tmp_path)
        (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\na,n00000001 0 0 9 9\n")
        with pytest.raises(UsageError, match=r"no class names .* LOC_synset_mapping\.txt"):
            open_imagenet(tmp_path)
        with pytest.raises(UsageError, match="no such folder"):
            open_imagenet(tmp_path / "nowhere")
        with pytest.raises(UsageError, match="needs --data-dir"):
            open_imagenet(None)
        with pytest.raises(UsageError, match="not 'train'"):
            open_imagenet(tmp_path, "train")

    def test_a_compressed_tar_is_refused_in_words(self, kaggle):
        (kaggle / "ILSVRC2012_img_val.tar").write_bytes(b"\x1f\x8b not a tar")
        self.csv(kaggle, "a,n00000001 0 0 9 9")
        with pytest.raises(DataError, match="not an uncompressed tar"):
            open_imagenet(kaggle / "ILSVRC2012_img_val.tar")

    def test_absent_is_another_class_and_always_the_same(self, kaggle):
        dataset = self.csv(kaggle, "a,n00000001 0 0 9 9", "b,n00000002 0 0 9 9")
        for index in range(2):
            assert dataset[index].absent not in (None, *dataset[index].synonyms)
            assert dataset[index].absent == dataset[index].absent

    def test_fifty_thousand_images_open_without_touching_them(self, kaggle):
        dataset = self.csv(kaggle, *(f"ILSVRC2012_val_{i:08},n00000001 0 0 9 9" for i in range(50_000)))
        assert len(dataset) == 50_000
        assert len(dataset.fingerprint()) == 16


class TestVoc:
    def test_an_image_gives_a_sample_for_each_name(self, tmp_path):
        picture(tmp_path / "JPEGImages/a.png")
        xml(tmp_path / "Annotations/a.xml", ("dog", 1, 1, 40, 20), ("pottedplant", 2, 2, 5, 5), ("dog", 3, 3, 9, 9))
        picture(tmp_path / "JPEGImages/b.png")
        xml(tmp_path / "Annotations/b.xml", ("cat", 1, 1, 40, 20))
        dataset = open_voc(tmp_path)
        first, second, third = (dataset[i] for i in range(3))
        assert (first.id, second.id, third.id) == ("a.png#dog", "a.png#pottedplant", "b.png#cat")
        assert first.boxes.tolist() == [[0, 0, 40, 20], [2, 2, 9, 9]]
        assert (first.absent, first.distractor) == ("cat", "potted plant")
        assert second.label == "potted plant"
        assert list(dataset.classes) == [("cat",), ("dog",), ("potted plant",)]
        assert first.class_index == 1

    def test_images_and_xml_may_lie_side_by_side(self, tmp_path):
        picture(tmp_path / "a.png")
        xml(tmp_path / "a.xml", ("dog", 1, 1, 40, 20))
        assert open_voc(tmp_path)[0].open().size == (40, 20)

    def test_unusable_files_are_samples_that_raise(self, tmp_path):
        (tmp_path / "a.xml").write_text("nonsense")
        xml(tmp_path / "b.xml", ("dog", 1, 1, 9, 9))
        dataset = open_voc(tmp_path)
        assert len(dataset) == 2
        with pytest.raises(DataError, match=r"a\.xml: not an XML"):
            dataset[0]
        with pytest.raises(DataError, match=r"b\.jpg: no such file"):
            dataset[1]

    def test_a_split_is_a_list(self, tmp_path):
        for name in "ab":
            picture(tmp_path / f"JPEGImages/{name}.png")
            xml(tmp_path / f"Annotations/{name}.xml", ("dog", 1, 1, 9, 9))
        (tmp_path / "ImageSets/Main").mkdir(parents=True)
        (tmp_path / "ImageSets/Main/val.txt").write_text("b\n")
        dataset = open_voc(tmp_path, "val")
        assert (dataset.name, [dataset[0].id]) == ("voc:val", ["b.png#dog"])
        with pytest.raises(UsageError, match=r"test\.txt: no such list"):
            open_voc(tmp_path, "test")

    def test_no_annotations_is_said(self, tmp_path):
        with pytest.raises(UsageError, match=r"looked for Annotations/\*\.xml"):
            open_voc(tmp_path)


class TestTable:
    def test_csv_by_hand(self, tmp_path):
        picture(tmp_path / "pics/a.png")
        picture(tmp_path / "mask.png")
        (tmp_path / "t.csv").write_text(
            "image,label,boxes,synonyms,absent,distractor,mask,note\n"
            "pics/a.png,dog,0 0 5 5; 6 6 8.5 9,hound;pup,cat,tree,mask.png,x\n"
            "pics/a.png,tree,1 1 9 9,,,,,\n"
        )
        dataset = open_table(tmp_path)
        assert (dataset.name, len(dataset)) == ("table:t", 2)
        dog, tree = dataset[0], dataset[1]
        assert dog.id == "pics/a.png#dog"
        assert dog.boxes.tolist() == [[0, 0, 5, 5], [6, 6, 8.5, 9]]
        assert dog.synonyms == ("dog", "hound", "pup")
        assert (dog.absent, dog.distractor) == ("cat", "tree")
        assert dog.open_mask().shape == (20, 40)
        assert (tree.absent, tree.open_mask, tree.class_index) == (None, None, 1)
        assert dog.open().size == (40, 20)

    def test_jsonl_by_hand(self, tmp_path):
        picture(tmp_path / "a.png")
        rows = [{"image": "a.png", "label": "dog", "boxes": [[0, 0, 5, 5]], "synonyms": ["pup"]}]
        (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        dataset = open_table(tmp_path / "t.jsonl")
        assert dataset[0].boxes.tolist() == [[0, 0, 5, 5]]
        assert list(dataset.classes) == []

    def test_rows_of_one_image_and_label_go_together(self, tmp_path):
        picture(tmp_path / "a.png")
        (tmp_path / "t.csv").write_text("image,label,boxes\na.png,dog,0 0 5 5\na.png,dog,6 6 9 9\n")
        dataset = open_table(tmp_path)
        assert len(dataset) == 1
        assert len(dataset[0].boxes) == 2

    def test_boxes_are_of_the_upright_image(self, tmp_path):
        picture(tmp_path / "a.png", orientation=6)
        (tmp_path / "t.csv").write_text("image,label,boxes\na.png,dog,0 0 20 40\n")
        assert open_table(tmp_path)[0].boxes.tolist() == [[0, 0, 20, 40]]

    def test_problems_carry_the_line(self, tmp_path):
        picture(tmp_path / "a.png")
        (tmp_path / "t.csv").write_text(
            "image,label,boxes\n"
            "a.png,dog,0 0 5\n"
            "a.png,,0 0 5 5\n"
            "b.png,dog,0 0 5 5\n"
            "a.png,cat,0 0 90 5\n"
            "a.png,dog,0 0 5 5\n"
        )
        dataset = open_table(tmp_path)
        for index, message in enumerate(
            ("line 2: boxes of four", "line 3: no label", r"b\.png: no such", "line 5: the box")
        ):
            with pytest.raises(DataError, match=message):
                dataset[index]
        assert dataset[4].label == "dog"
        (tmp_path / "t.csv").unlink()
        (tmp_path / "t.jsonl").write_text('{"image": 1\n[]\n')
        for index, message in enumerate(("line 1: not JSON", "line 2: not a JSON object")):
            with pytest.raises(DataError, match=message):
                open_table(tmp_path)[index]

    def test_columns_and_files_that_are_missing_are_said(self, tmp_path):
        with pytest.raises(UsageError, match="found none"):
            open_table(tmp_path)
        (tmp_path / "t.csv").write_text("image,label\n")
        with pytest.raises(UsageError, match="no column boxes"):
            open_table(tmp_path)
        (tmp_path / "u.csv").write_text("image,label,boxes\n")
        with pytest.raises(UsageError, match=r"found t\.csv, u\.csv"):
            open_table(tmp_path)
        assert len(open_table(tmp_path, "u")) == 0

    def test_a_phrase_is_a_sample_of_its_own_and_no_class(self, tmp_path):
        picture(tmp_path / "a.png")
        (tmp_path / "t.csv").write_text(
            "image,phrase,boxes\na.png,left man,0 0 5 5\na.png,player #12,6 6 9 9\na.png,left man,1 1 8 8\n"
        )
        dataset = open_table(tmp_path)
        samples = [dataset[index] for index in range(3)]
        assert [sample.label for sample in samples] == ["left man", "player #12", "left man"]
        assert [len(sample.boxes) for sample in samples] == [1, 1, 1], "the same words of two men are two questions"
        assert [sample.id for sample in samples] == ["a.png#line 2", "a.png#line 3", "a.png#line 4"]
        assert list(dataset.classes) == []
        assert samples[0].class_index is None

    def test_labels_and_phrases_may_stand_in_one_table_but_not_in_one_row(self, tmp_path):
        picture(tmp_path / "a.png")
        rows = [
            {"image": "a.png", "label": "dog", "boxes": [[0, 0, 5, 5]]},
            {"image": "a.png", "label": "cat #2", "boxes": [[0, 0, 5, 5]]},
            {"image": "a.png", "phrase": "the dog on the left", "boxes": [[0, 0, 5, 5], [6, 6, 9, 9]]},
            {"image": "a.png", "phrase": "the dog", "label": "dog", "boxes": [[0, 0, 5, 5]]},
        ]
        (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        dataset = open_table(tmp_path)
        assert list(dataset.classes) == [("dog",), ("cat #2",)]
        assert [dataset[index].class_index for index in range(3)] == [0, 1, None]
        assert dataset[1].id == "a.png#cat %232", "what is asked of one image is told apart behind the last #"
        assert len(dataset[2].boxes) == 2
        with pytest.raises(DataError, match="line 4: a label and a phrase; one of the two is wanted"):
            dataset[3]
