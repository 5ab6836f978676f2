"""The script in the guide to phrases, on references and instances made up here in the form of RefCOCO."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
from PIL import Image

from xtool.datasets.opening import open_dataset

GUIDE = Path(__file__).parents[1] / "docs/howto/phrases.md"


def test_the_script_of_the_guide_writes_a_table_for_each_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("refcoco", "train2014"):
        Path(folder).mkdir()
    Image.new("RGB", (40, 20)).save("train2014/COCO_train2014_000000000009.jpg")
    references = [
        {
            "ref_id": 1,
            "ann_id": 71,
            "image_id": 9,
            "split": "val",
            "sentences": [{"sent": "left man"}, {"sent": "man #1"}],
        },
        {"ref_id": 2, "ann_id": 72, "image_id": 9, "split": "testA", "sentences": [{"sent": "right man"}]},
        {"ref_id": 3, "ann_id": 72, "image_id": 9, "split": "val", "sentences": [{"sent": "left man"}]},
    ]
    Path("refcoco/refs(unc).p").write_bytes(pickle.dumps(references, protocol=2))
    told = {
        "images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg"}],
        "annotations": [{"id": 71, "bbox": [2, 3, 10, 12.5]}, {"id": 72, "bbox": [20, 3, 10, 10]}],
    }
    Path("refcoco/instances.json").write_text(json.dumps(told))
    block = re.search(r'```python title="refcoco\.py"\n(.*?)```', GUIDE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    exec(compile(block[1], str(GUIDE), "exec"), {})
    dataset = open_dataset("table:refcoco-val", "train2014")
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample.label for sample in samples] == ["left man", "man #1", "left man"]
    assert [sample.boxes.tolist() for sample in samples] == [[[2, 3, 12, 15.5]]] * 2 + [[[20, 3, 30, 13]]]
    assert len({sample.id for sample in samples}) == 3
    assert list(dataset.classes) == []
    assert len(open_dataset("table:refcoco-testA", "train2014")) == 1
