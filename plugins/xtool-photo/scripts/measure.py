"""How well ``photo`` tells what is in a photograph, from the whole picture at once: presence and Top-1.

    uv run python plugins/xtool-photo/scripts/measure.py ../shared/data

Samples with even numbers are what choices were made on; ``--half 1`` takes the others.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xtool.image.pixels import fit_image, to_pixels
from xtool.plugin import Sample, load_encoder, open_dataset
from xtool_photo.encoder import PhotoEncoder

DATA = {
    "coco-160": ("table", "coco-160/photos.jsonl"),
    "ilsvrc-val-400": ("imagenet", "ilsvrc-val-400"),
    "raccoon-mini": ("voc", "raccoon-mini"),
}
RESAMPLED = 500


@dataclass
class Half:
    samples: list[Sample]
    images: Tensor
    """Unit vectors [N, D]."""


def embedded(encoder: PhotoEncoder, name: str, root: Path, half: int) -> Half:
    kind, place = DATA[name]
    dataset = open_dataset(kind, root / place)
    samples = [dataset[number] for number in range(half, len(dataset), 2)]
    pixels = (to_pixels(fit_image(sample.open(), encoder.info, "squash"), encoder) for sample in samples)
    return Half(samples, torch.cat([encoder.encode_image(one.reshape(1, *one.shape[-3:])) for one in pixels]))


def auroc(present: Tensor, absent: Tensor) -> float:
    """How often a text that is there has the higher cosine than one that is not; ties count half."""
    above = (present[:, None] > absent).float() + 0.5 * (present[:, None] == absent).float()
    return float(above.mean())


def told(name: str, present: Tensor, absent: Tensor) -> str:
    """AUROC with an interval from pictures drawn again with replacement."""
    generator = torch.Generator().manual_seed(0)
    again = []
    for _ in range(RESAMPLED):
        rows = torch.randint(len(present), (len(present),), generator=generator)
        others = (
            rows if len(absent) == len(present) else torch.randint(len(absent), (len(absent),), generator=generator)
        )
        again.append(auroc(present[rows], absent[others]))
    low, high = torch.tensor(again).quantile(torch.tensor([0.025, 0.975])).tolist()
    return (
        f"{name}: presence AUROC {auroc(present, absent):.3f} [{low:.3f}, {high:.3f}], n = {len(present)}; "
        f"cosine present {float(present.mean()):.3f}, absent {float(absent.mean()):.3f}"
    )


def cosines(encoder: PhotoEncoder, images: Tensor, texts: list[str]) -> Tensor:
    """Of each image and its text [N]."""
    return (images * encoder.encode_text([f"an image of a {text}." for text in texts])).sum(dim=1)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds coco-160, ilsvrc-val-400 and raccoon-mini")
    parser.add_argument("--half", type=int, choices=(0, 1), default=0)
    options = parser.parse_args()
    encoder = load_encoder("photo", device="cpu")
    assert isinstance(encoder, PhotoEncoder)
    coco, ilsvrc, raccoons = (embedded(encoder, name, options.data, options.half) for name in DATA)

    labels = [sample.label for sample in coco.samples]
    present = cosines(encoder, coco.images, labels)
    absent = cosines(encoder, coco.images, [sample.absent or "" for sample in coco.samples])
    print(told("coco-160, its thing against an absent one", present, absent))

    labels = [sample.label for sample in ilsvrc.samples]
    draw = random.Random(0)
    others = [draw.choice(sorted(set(labels) - {label})) for label in labels]
    present, absent = (cosines(encoder, ilsvrc.images, texts) for texts in (labels, others))
    print(told("ilsvrc-val-400, its class against another of the 20", present, absent))
    present = cosines(encoder, raccoons.images, ["raccoon"] * len(raccoons.images))
    elsewhere = torch.cat([coco.images, ilsvrc.images])
    print(
        told(
            "raccoon-mini, raccoon there and elsewhere",
            present,
            cosines(encoder, elsewhere, ["raccoon"] * len(elsewhere)),
        )
    )
    print(told("raccoon-mini, raccoon against car", present, cosines(encoder, raccoons.images, ["car"] * len(present))))

    truth = torch.tensor([sample.class_index for sample in ilsvrc.samples])
    names = encoder.class_names
    by_name = (ilsvrc.images @ encoder.encode_text([f"an image of a {name}." for name in names]).T).argmax(dim=1)
    classifier = encoder.visual.model.get_classifier()  # type: ignore[operator]
    width = classifier.in_features
    logits = ilsvrc.images[:, :width] @ classifier.weight.T + ilsvrc.images[:, width, None] * classifier.bias
    by_name_right, right = ((found == truth).float().mean() for found in (by_name, logits.argmax(dim=1)))
    print(
        f"ilsvrc-val-400: Top-1 over 1000 names {float(by_name_right):.3f}, the classifier's own {float(right):.3f}, "
        f"n = {len(truth)}"
    )
    labels = sorted({sample.label for half in (coco, ilsvrc, raccoons) for sample in half.samples})
    for what, texts in (("labels", labels), ("names of classes", names)):
        unknown = [found.text for found in encoder.understand(texts) if not found.known]
        print(f"unknown {what}: {', '.join(unknown) or 'none'} of {len(texts)}")


if __name__ == "__main__":
    main()
