"""Data sets as they are found on disks: other encodings, separators, cases, folders and paths than in the manuals."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess

import pytest
from PIL import Image

from xtool.datasets.files import Tar
from xtool.datasets.imagenet import open_imagenet
from xtool.datasets.table import open_table
from xtool.datasets.voc import open_voc
from xtool.errors import DataError, UsageError

BOM = "\ufeff"
MAPPING = "n00000001 crane\nn00000002 tench, Tinca tinca\n"
CSV = "LOC_val_solution.csv"


def picture(path, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "green").save(path, format="GIF" if path.suffix == ".gif" else "JPEG")


def imagenet(folder, *rows, mapping=MAPPING, header="ImageId,PredictionString"):
    (folder / "LOC_synset_mapping.txt").write_text(mapping, "utf-8")
    (folder / CSV).write_text("\n".join([header, *rows]), "utf-8")
    return open_imagenet(folder)


def voc_object(name, box="<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>20</ymax></bndbox>"):
    return f"<object><name>{name}</name>{box}</object>"


def voc_xml(path, *objects, filename="", declaration="", encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"{declaration}<annotation><filename>{filename}</filename>{''.join(objects)}</annotation>"
    path.write_text(text, encoding)


class TestImageNet:
    def test_a_byte_order_mark_shifts_no_class(self, tmp_path):
        picture(tmp_path / "val/a.JPEG")
        dataset = imagenet(
            tmp_path, "a,n00000002 0 0 39 19", mapping=BOM + MAPPING, header=f"{BOM}ImageId,PredictionString"
        )
        assert list(dataset.classes) == [("crane",), ("tench", "Tinca tinca")]
        assert (dataset[0].class_index, dataset[0].label) == (1, "tench")

    @pytest.mark.parametrize("synset", ["1440764", "n0144076", "n014407640", "x01440764", "fish,"])
    def test_a_line_without_a_wordnet_id_is_refused_with_its_number(self, synset, tmp_path):
        picture(tmp_path / "val/a.JPEG")
        with pytest.raises(UsageError, match=r"LOC_synset_mapping\.txt: line 3: an id like n01440764"):
            imagenet(tmp_path, "a,n00000002 0 0 39 19", mapping=f"{MAPPING}{synset} tench\n")

    def test_an_id_that_is_there_twice_is_refused(self, tmp_path):
        picture(tmp_path / "val/a.JPEG")
        with pytest.raises(UsageError, match="line 3: n00000001 is there twice"):
            imagenet(tmp_path, "a,n00000001 0 0 39 19", mapping=f"{MAPPING}n00000001 heron\n")

    def test_only_a_newline_ends_a_line(self, tmp_path):
        picture(tmp_path / "val/a.JPEG")
        mapping = "n00000001 crane,\u2028whooper\x85\r\nn00000002 tench\n"
        dataset = imagenet(tmp_path, "a,n00000002 0 0 39 19", mapping=mapping)
        assert [names[0] for names in dataset.classes] == ["crane", "tench"]

    def test_quoted_cells_are_cells(self, tmp_path):
        picture(tmp_path / "val/a.JPEG")
        dataset = imagenet(tmp_path, '"a","n00000002 0 0 39 19"', header='"ImageId","PredictionString"')
        assert dataset[0].boxes.tolist() == [[0, 0, 40, 20]]

    def test_a_quote_left_open_is_said(self, tmp_path):
        picture(tmp_path / "val/a.JPEG")
        with pytest.raises(UsageError, match=r"LOC_val_solution\.csv: line .*: not a CSV"):
            imagenet(tmp_path, f'a,"n00000002 {"0 " * 80_000}')

    @pytest.mark.parametrize("name", ["a.jpg", "a.Jpg", "a.jfif", "n00000002/a.JPEG", "n00000002/a.jpg"])
    def test_images_may_lie_in_class_folders_and_have_any_extension(self, name, tmp_path):
        picture(tmp_path / "val" / name)
        sample = imagenet(tmp_path, "a,n00000002 0 0 39 19")[0]
        assert sample.id == "val/a.JPEG", "the same in every layout"
        assert pickle.loads(pickle.dumps(sample)).open().size == (40, 20)

    @pytest.mark.skipif(shutil.which("tar") is None, reason="packs with tar")
    def test_a_sparse_member_of_a_tar_is_told_and_costs_no_other(self, tmp_path):
        """Its bytes do not lie side by side: what is read there would be another picture, or none."""
        for name in ("a.JPEG", "b.JPEG"):
            picture(tmp_path / name)
        with (tmp_path / "a.JPEG").open("r+b") as file:
            file.truncate(2**22)  # a hole
        tar = tmp_path / "ILSVRC2012_img_val.tar"
        packed = subprocess.run(["tar", "--sparse", "-cf", tar, "a.JPEG", "b.JPEG"], cwd=tmp_path)
        if packed.returncode or tar.stat().st_size > 2**21:
            pytest.skip("this tar or file system knows no sparse files")
        files = Tar(tar)
        assert files.image("b.JPEG").size == (40, 20)
        with pytest.raises(DataError, match=r"a\.JPEG.*sparse"):
            files.image("a.JPEG")

    @pytest.mark.parametrize("factor", [1.5, 2])
    def test_images_larger_than_their_boxes_say_stop_at_once(self, factor, tmp_path):
        for number in range(12):
            picture(tmp_path / f"val/{number}.JPEG", size=(int(40 * factor), int(20 * factor)))
        rows = [f"{number},n00000002 {number} 0 39 {8 + number}" for number in range(12)]
        # Of 40 pixels all boxes end at the last: 40/60 or 40/80 of the enlarged width; 20/30 or 20/40 of the height.
        with pytest.raises(UsageError, match=f"been enlarged.* {'67' if factor == 1.5 else '50'}%"):
            imagenet(tmp_path, *rows)

    def test_images_as_annotated_are_not_taken_for_enlarged(self, tmp_path):
        for number in range(12):
            picture(tmp_path / f"val/{number}.JPEG")
        rows = [f"{number},n00000002 0 0 {10 + number} 10" for number in range(11)]
        assert len(imagenet(tmp_path, *rows, "11,n00000002 5 5 39 10")) == 12


class TestVoc:
    @pytest.mark.parametrize("annotations", ["Annotations", "annotations", "annots", "ANNOTS"])
    @pytest.mark.parametrize("images", ["JPEGImages", "jpegimages", "images", "Images", "."])
    def test_folders_have_names_in_any_case(self, annotations, images, tmp_path):
        picture(tmp_path / images / "a.jpg")
        voc_xml(tmp_path / annotations / "a.xml", voc_object("dog"))
        sample = open_voc(tmp_path)[0]
        assert (sample.id, sample.open().size) == ("a.jpg#dog", (40, 20))

    @pytest.mark.parametrize("name", ["a.Jpg", "a.jfif", "a.gif", "a.JPEG", "a.PNG"])
    def test_images_have_extensions_in_any_case(self, name, tmp_path):
        picture(tmp_path / "images" / name)
        voc_xml(tmp_path / "Annotations/a.XML", voc_object("dog"))
        assert open_voc(tmp_path)[0].id == f"{name}#dog"

    @pytest.mark.parametrize("filename", [r"C:\Users\me\pics\b.jpg", "/home/me/b.jpg", "b.jpg", "b"])
    def test_the_path_of_another_computer_still_names_the_image(self, filename, tmp_path):
        picture(tmp_path / "images/b.jpg")
        voc_xml(tmp_path / "annots/a.xml", voc_object("dog"), filename=filename)
        assert open_voc(tmp_path)[0].id == "b.jpg#dog"

    def test_an_object_without_a_box_costs_only_itself(self, tmp_path):
        picture(tmp_path / "images/a.jpg")
        voc_xml(tmp_path / "annots/a.xml", voc_object("dog"), voc_object("cat", box=""), voc_object("cow"))
        voc_xml(tmp_path / "annots/b.xml", voc_object("cat"))
        voc_xml(tmp_path / "annots/c.xml", voc_object("cat", box=""))
        dataset = open_voc(tmp_path)
        assert [dataset[0].id, dataset[1].id] == ["a.jpg#cow", "a.jpg#dog"]
        assert dataset[0].absent is None, "the cat is in the image, though nobody says where"
        with pytest.raises(DataError, match=r"c\.xml: none of its objects has a box"):
            dataset[3]

    def test_minus_one_in_a_list_of_one_kind_leaves_an_image_out(self, tmp_path):
        for name in "abcd":
            picture(tmp_path / f"JPEGImages/{name}.jpg")
            voc_xml(tmp_path / f"Annotations/{name}.xml", voc_object("dog"))
        (tmp_path / "ImageSets/Main").mkdir(parents=True)
        (tmp_path / "ImageSets/Main/dog_val.txt").write_text(f"{BOM}a  1\nb -1\nc  0\r\n\nd\n", "utf-8")
        dataset = open_voc(tmp_path, "dog_val")
        assert [dataset[i].id for i in range(len(dataset))] == ["a.jpg#dog", "c.jpg#dog", "d.jpg#dog"]

    def test_a_list_that_is_no_text_is_said(self, tmp_path):
        voc_xml(tmp_path / "Annotations/a.xml", voc_object("dog"))
        (tmp_path / "ImageSets/Main").mkdir(parents=True)
        (tmp_path / "ImageSets/Main/val.txt").write_bytes(b"\xff\xd8\xff\xe0")
        with pytest.raises(UsageError, match=r"val\.txt: cannot be read"):
            open_voc(tmp_path, "val")

    def test_xml_in_the_encoding_that_it_declares(self, tmp_path):
        picture(tmp_path / "images/a.jpg")
        for encoding in ("gbk", "utf-8", "latin-1"):
            name = "狗" if encoding != "latin-1" else "Käse"
            declaration = f"<?xml version='1.0' encoding='{encoding}'?>\n"
            voc_xml(tmp_path / "annots/a.xml", voc_object(name), declaration=declaration, encoding=encoding)
            assert open_voc(tmp_path)[0].label == name
        voc_xml(tmp_path / "annots/a.xml", voc_object("dog"), declaration="<?xml version='1.0' encoding='klingon'?>")
        with pytest.raises(DataError, match=r"a\.xml: not an XML file \(unknown encoding: klingon\)"):
            open_voc(tmp_path)[0]


class TestTable:
    def table(self, folder, text, name="t.csv"):
        picture(folder / "a.jpg")
        (folder / name).write_text(text, "utf-8")
        return open_table(folder)

    @pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
    def test_cells_are_separated_by_commas_semicolons_or_tabs(self, separator, tmp_path):
        cells = [["Image", "LABEL", " Boxes ", "note"], ["a.jpg", "dog", '"0 0 5 5;6 6 9 9"', "x"]]
        dataset = self.table(tmp_path, BOM + "\n".join(separator.join(row) for row in cells))
        assert (dataset[0].label, dataset[0].boxes.tolist()) == ("dog", [[0, 0, 5, 5], [6, 6, 9, 9]])

    @pytest.mark.parametrize("name", ["t.tsv", "t.CSV"])
    def test_a_table_by_any_of_its_extensions(self, name, tmp_path):
        assert len(self.table(tmp_path, "image\tlabel\tboxes\na.jpg\tdog\t0 0 5 5\n", name)) == 1

    def test_a_box_in_four_columns(self, tmp_path):
        text = "image;label;xmin;ymin;xmax;ymax\na.jpg;dog;0;1;5;6.5\na.jpg;dog;6;6;9;9\n"
        assert self.table(tmp_path, text)[0].boxes.tolist() == [[0, 1, 5, 6.5], [6, 6, 9, 9]]
        lines = {"image": "a.jpg", "label": 0, "xmin": 0, "ymin": 1, "xmax": 5, "ymax": 6.5}
        (tmp_path / "t.csv").unlink()
        (tmp_path / "t.jsonl").write_text(json.dumps(lines))
        assert open_table(tmp_path)[0].boxes.tolist() == [[0, 1, 5, 6.5]]

    def test_labels_may_be_numbers(self, tmp_path):
        rows = [{"image": "a.jpg", "label": label, "boxes": [[0, 0, 5, 5]]} for label in (0, 7, True)]
        dataset = self.table(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl")
        assert [dataset[0].label, dataset[1].label] == ["0", "7"]
        with pytest.raises(DataError, match="line 3: label must be a text, not True"):
            dataset[2]

    def test_only_a_newline_ends_a_line(self, tmp_path):
        dataset = self.table(
            tmp_path, 'image,label,boxes\na.jpg,"big\u2028dog\x85",0 0 5 5\na.jpg,"two\nlines",0 0 5 5\n'
        )
        assert [dataset[0].label, dataset[1].label] == ["big\u2028dog", "two\nlines"]

    def test_fractions_are_not_taken_for_pixels(self, tmp_path):
        dataset = self.table(
            tmp_path, "image,label,boxes\na.jpg,dog,0.25 0.5 0.75 1\na.jpg,cat,0 0 1 1\na.jpg,cow,0 0 2 1\n"
        )
        with pytest.raises(DataError, match=r"line 2: .* 0\.25 0\.5 0\.75 1 looks like fractions.* times 40 and 20"):
            dataset[0]
        with pytest.raises(DataError, match="fractions"):
            dataset[1]
        assert dataset[2].boxes.tolist() == [[0, 0, 2, 1]]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"image": "a.jpg", "label": "dog", "boxes": [[0, 0, 5, 1' + "0" * 400 + "]]}", "int too large"),
            ("[" * 100_000, "not JSON"),
            ('{"image": "a.jpg", "label": "dog", "boxes": 5}', "not iterable"),
            ('{"image": ["a.jpg"], "label": "dog", "boxes": [[0, 0, 5, 5]]}', "image must be a text"),
        ],
        ids=["huge", "deep", "no list", "no text"],
    )
    def test_a_line_that_cannot_be_used_is_one_sample_that_cannot(self, line, message, tmp_path):
        good = '{"image": "a.jpg", "label": "dog", "boxes": [[0, 0, 5, 5]]}'
        dataset = self.table(tmp_path, f"{line}\n{good}\n", "t.jsonl")
        with pytest.raises(DataError, match=f"line 1: .*{message}"):
            dataset[0]
        assert dataset[1].label == "dog"

    def test_a_quote_left_open_is_said(self, tmp_path):
        with pytest.raises(UsageError, match=r"t\.csv: line .*is a quote left open"):
            self.table(tmp_path, 'image,label,boxes\na.jpg,"dog,0 0 5 5\n' + "x" * 140_000)
