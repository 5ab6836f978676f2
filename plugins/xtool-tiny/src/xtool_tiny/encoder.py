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

BAR = 0.1915
"""Cosine of the best masked image that separates true from absent texts best on the split ``scenes:val``, for masks on
pixels. No band of doubt has been measured."""

CALIBRATIONS = {
    "tiny-rn": (
        *(
            Calibration(method="vlscore", options=options, bar=BAR, absent_below=BAR, present_above=BAR)
            for options in ({"mask_at": "pixels"}, {"mask_at": "pixels", "top_k": 50})
        ),
        Calibration(
            method="vlscore", options={"mask_at": "pool"}, absent_below=0.2476, bar=0.2668, present_above=0.2712
        ),
    )
}
"""For all maps and for 50 of them, and for masks at the pool by ``xtool calibrate`` on ``scenes:val``."""


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
