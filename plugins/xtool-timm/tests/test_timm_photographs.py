"""A truly trained classifier on real photographs: does it know the classes, and where they are?"""

from __future__ import annotations

from pathlib import Path

import pytest

from xtool.evaluator.comparison import compare
from xtool_timm.encoder import ClassifierEncoder

pytestmark = pytest.mark.slow


def test_imagenet_classes_are_known_by_their_names(
    trained: ClassifierEncoder, photographs: Path, tmp_path: Path
) -> None:
    """A wrong order of tensors or names would name next to none of the 18."""
    run = compare(
        "imagenet", data_dir=photographs / "ilsvrc-val-mini", encoder=trained, methods=["cam"], out=tmp_path / "run"
    )
    ranks = [record.rank for record in run.records()]
    assert len(ranks) == 18
    assert sum(rank == 1 for rank in ranks) > 10
    assert sum(rank <= 5 for rank in ranks) > 14


def test_raccoons_are_found_by_what_is_like_them(trained: ClassifierEncoder, photographs: Path, tmp_path: Path) -> None:
    """No class of ImageNet is a raccoon. A box in the middle is what a map must beat; noise must not."""
    pytest.importorskip("xtool_cam")
    run = compare(
        "voc", data_dir=photographs / "raccoon-mini", encoder=trained, methods=["layercam", "cam", "center", "random"],
        out=tmp_path / "run",
    )  # fmt: skip
    found = {row.method: row.values["gt_known"] for row in run.rows()}
    assert found["layercam"] > found["center"]
    assert found["cam"] > found["random"]
