"""The data sets that come with xtool. Listing them imports nothing heavy.

- ``imagenet``: ImageNet-1k validation in the usual layouts on disk
- ``imagenet_s``, ``imagenet_segmentation``: masks of ImageNet images
- ``voc``: a folder of images with VOC XML, and masks
- ``coco``: a JSON file of COCO instances, with boxes and masks
- ``table``: a CSV or JSONL with image path, label or phrase, and boxes

They share ``annotations`` (VOC XML), ``placing`` (boxes and masks of an annotation in the opened image), ``files``
(images in a folder or in a tar), ``masks`` (pictures of class numbers), ``synsets`` (ImageNet's class names).
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
        name="imagenet-s",
        factory="xtool.datasets.imagenet_s:open_imagenet_s",
        summary="ImageNet-S 50, 300 or 919: ImageNet validation images with masks.",
        splits=("validation",),
        paper="Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2023",
    )
    yield DatasetSpec(
        name="imagenet-segmentation",
        factory="xtool.datasets.imagenet_segmentation:open_imagenet_segmentation",
        summary="ImageNet-Segmentation, gtsegs_ijcv.mat: 4,276 ImageNet images with masks; needs h5py.",
        paper="Guillaumin et al., ImageNet Auto-Annotation with Segmentation Propagation, IJCV 2014",
    )
    yield DatasetSpec(
        name="coco",
        factory="xtool.datasets.coco:open_coco",
        summary="COCO instances JSON with boxes and masks; one sample for each kind of object in an image.",
        paper="Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014",
    )
    yield DatasetSpec(
        name="voc",
        factory="xtool.datasets.voc:open_voc",
        summary="A folder of images with VOC XML boxes, and masks; one sample for each kind of object in an image.",
        paper="Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010",
    )
    yield DatasetSpec(
        name="table",
        factory="xtool.datasets.table:open_table",
        summary="A CSV or JSONL file with the columns image, label or phrase, boxes.",
    )
