"""The bundled models as xtool encoders, through the same code as any open_clip model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xtool.plugin import Calibration, EncoderOptions
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load_local
from xtool_tiny.models import config_path, tokenizer, weights_path

SCENES = "scenes"
"""The tag of the bundled weights."""

CALIBRATIONS = {
    "tiny-rn": (Calibration(method="vlscore", bar=0.1915, absent_below=0.1, present_above=0.3),),
}
"""Made by ``xtool calibrate`` on the split ``scenes:val``."""


def load(name: str, options: EncoderOptions) -> ClipEncoder:
    """Load ``tiny-rn`` or ``tiny-vit``.

    Args:
        name: of the model.
        options: ``pretrained`` is ``"scenes"``, the path of other weights of the same shape (as training writes
            them), or ``None`` or ``"none"`` for random weights.
    """
    tag = options.pretrained
    weights = None if tag is None or tag.lower() == "none" else weights_path(name) if tag == SCENES else Path(tag)
    encoder = load_local(
        name,
        config=config_path(name),
        weights=weights,
        options=options,
        tokenizer=tokenizer(),
        label=SCENES if tag == SCENES else None,
    )
    if tag == SCENES:
        encoder.info = replace(encoder.info, calibrations=CALIBRATIONS.get(name, ()))
    return encoder
