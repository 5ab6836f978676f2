"""The encoder by its name."""

from __future__ import annotations

from dataclasses import replace

from xtool.plugin import Calibration, EncoderOptions
from xtool_photo.encoder import PhotoEncoder
from xtool_photo.lexicon import bundled
from xtool_photo.text import TextSide
from xtool_timm import PREFIX
from xtool_timm.encoder import ClassifierEncoder
from xtool_timm.load import load as load_classifier
from xtool_timm.weights import LITE0, PACKAGED

__all__ = ["load"]

INPUT_SIZE = 384
"""The network was trained at 224 px. At 384 px its maps have 12×12 cells instead of 7×7, and every method finds more:
no other choice that was tried on photographs changed as much (``docs/howto/photographs.md``)."""

CALIBRATIONS = (
    Calibration(
        method="vlscore", options={"mask_at": "pool"}, absent_below=0.085, bar=0.1255, present_above=0.138,
    ),
)  # fmt: skip
"""Made by ``xtool calibrate`` on the halves of the photographs that chose the defaults (``benchmarks/photographs.py``):
200 of ``ilsvrc-val-400`` and 165 samples of ``coco-160``. They hold for the default weights and size."""


def load(name: str, options: EncoderOptions) -> PhotoEncoder:
    """Load ``photo``.

    Args:
        name: of the encoder.
        options: ``pretrained`` is ``"packaged"`` for the weights of the index package, the path of a checkpoint of the
            same network, or ``None`` for random weights; ``input_size`` is :data:`INPUT_SIZE` by default.

    Raises what :func:`xtool_timm.load.load` raises.
    """
    if options.input_size is None:
        options = options.model_copy(update={"input_size": INPUT_SIZE})
    classifier = load_classifier(PREFIX + LITE0, options)
    assert isinstance(classifier, ClassifierEncoder)
    usual = options.pretrained == PACKAGED and options.input_size == INPUT_SIZE
    info = replace(classifier.info, name=name, calibrations=CALIBRATIONS if usual else ())
    return PhotoEncoder(classifier, TextSide(bundled()), info)
