"""The encoder by its name."""

from __future__ import annotations

from dataclasses import replace

from xtool.plugin import EncoderOptions
from xtool_photo.encoder import PhotoEncoder
from xtool_photo.lexicon import bundled
from xtool_photo.text import TextSide
from xtool_timm import PREFIX
from xtool_timm.load import load as load_classifier
from xtool_timm.weights import LITE0

__all__ = ["load"]


def load(name: str, options: EncoderOptions) -> PhotoEncoder:
    """Load ``photo``.

    Args:
        name: of the encoder.
        options: ``pretrained`` is ``"packaged"`` for the weights of the index package, the path of a checkpoint of the
            same network, or ``None`` for random weights.

    Raises what :func:`xtool_timm.load.load` raises.
    """
    classifier = load_classifier(PREFIX + LITE0, options)
    return PhotoEncoder(classifier, TextSide(bundled()), replace(classifier.info, name=name))
