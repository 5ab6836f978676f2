"""Classes with the same names: no text tells them apart, so they must not rob each other of Top-1."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from xtool.contracts.protocols import Sample
from xtool.datasets.imagenet import open_imagenet
from xtool.evaluator.comparison import compare
from xtool.metrics.topk import distinct_classes, same_names
from xtool.testing.planted import PlantedCNN, planted_image

BOX = (16, 16, 40, 40)
REDS = (("red",), ("green",), ("Red",), ("green", "moss"), ("moss", "green"))
"""0 and 2 have one text; so have 3 and 4, in another order; 1 shares a name with them and differs."""


class Patches:
    """Image i shows the colour of class i."""

    name = "patches"

    def __init__(self, classes, shown):
        self.classes = classes
        self.shown = shown

    def __len__(self):
        return len(self.classes)

    def fingerprint(self):
        return "patches"

    def __getitem__(self, index):
        names = self.classes[index]
        image = planted_image({self.shown[index]: BOX})
        boxes = np.array([BOX], np.float64)
        return Sample(id=str(index), open=lambda: image, label=names[0], synonyms=names, boxes=boxes, class_index=index)


def ranks(classes, shown, folder, classifier=None):
    data = Patches(classes, shown)
    run = compare(data, methods=["everywhere"], encoder=PlantedCNN(), classifier=classifier, out=folder)
    return [record.rank for record in run.records()], run.identity.dataset.classes_counted_as_one


@pytest.mark.usefixtures("xtool")
@pytest.mark.parametrize("classifier", [None, PlantedCNN()], ids=["the encoder names", "another names"])
def test_each_of_two_classes_with_one_name_is_ranked_first_where_it_is_seen(classifier, tmp_path):
    classes = (("red",), ("green",), ("red",))
    found, counted_as_one = ranks(classes, ("red", "green", "red"), tmp_path / "run", classifier)
    assert found == [1, 1, 1]
    assert counted_as_one == [[0, 2]]


@pytest.mark.usefixtures("xtool")
def test_where_another_class_is_seen_both_rank_behind_it_once(tmp_path):
    classes = (("red",), ("green",), ("red",), ("blue",))
    found, _ = ranks(classes, ("blue", "red", "green", "red"), tmp_path / "run")
    # Of three distinct classes, the colour that is seen is first; the others tie, and ties count against the truth.
    assert found == [3, 3, 3, 3]


def test_names_are_alike_in_any_order_and_case_and_one_name_more_tells_classes_apart():
    assert same_names(REDS) == [[0, 2], [3, 4]]
    assert distinct_classes(REDS) == ([("red",), ("green",), ("green", "moss")], [0, 1, 0, 2, 2])
    assert same_names((("maillot",), ("maillot", "tank suit"))) == []


def test_a_crane_is_never_asked_for_another_crane(tmp_path):
    (tmp_path / "val").mkdir()
    names = [f"image{number}" for number in range(40)]
    for name in names:
        Image.new("RGB", (40, 20)).save(tmp_path / "val" / f"{name}.JPEG")
    (tmp_path / "LOC_synset_mapping.txt").write_text(
        "n00000001 crane\nn00000002 crane\nn00000003 maillot\nn00000004 maillot, tank suit\n"
    )
    rows = [f"{name},n0000000{1 + number % 4} 0 0 39 19" for number, name in enumerate(names)]
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]))
    dataset = open_imagenet(tmp_path)
    for number in range(40):
        sample = dataset[number]
        assert sample.absent == ("crane" if sample.label == "maillot" else "maillot")
