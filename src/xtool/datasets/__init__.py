"""The data sets that come with xtool. Listing them imports nothing heavy.

- ``imagenet``: ImageNet-1k validation in the usual layouts on disk
- ``voc``: a folder of images with VOC XML
- ``table``: a CSV or JSONL with image path, label and boxes

They share ``annotations`` (VOC XML), ``placing`` (boxes of an annotation in the opened image), ``files`` (images in a
folder or in a tar), ``synsets`` (ImageNet's class names).
"""

from __future__ import annotations

from collections.abc import Iterator

from xtool.contracts.hookspecs import hookimpl
from xtool.contracts.specs import DatasetSpec


@hookimpl
def xtool_datasets() -> Iterator[DatasetSpec]:
    """The built-in data sets."""
    yield DatasetSpec(
        name="imagenet",
        factory="xtool.datasets.imagenet:open_imagenet",
        summary="ImageNet-1k validation: Kaggle or WSOL-evaluation layout, or ILSVRC2012_img_val.tar as it is.",
        splits=("val",),
        paper="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015",
    )
    yield DatasetSpec(
        name="voc",
        factory="xtool.datasets.voc:open_voc",
        summary="A folder of images with VOC XML boxes; one sample for each kind of object in an image.",
        paper="Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010",
    )
    yield DatasetSpec(
        name="table",
        factory="xtool.datasets.table:open_table",
        summary="A CSV or JSONL file with the columns image, label, boxes.",
    )
