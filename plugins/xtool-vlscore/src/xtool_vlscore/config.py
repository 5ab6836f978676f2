"""The options of VL-Score."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from xtool.plugin import EncoderInfo, MaskConfig, UsageError


class VLScoreConfig(MaskConfig):
    """Options of VL-Score. The preset ``paper`` is the article's published code, exactly.

    The defaults are our own, chosen on photographs and on drawn scenes (``docs/howto/photographs.md`` has the figures
    and the commands). The preset ``fast`` masks where the encoder pools, one pass for all maps; where none of that
    can be done, it scores 50 maps, a tenth of the passes that the 512 maps of a layer cost. The preset ``gscorecam``
    is gScoreCAM (Chen et al., ACCV 2022): Score-CAM by the 300 maps with the largest mean gradient.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "cap": True,
            "shift": True,
            "softmax": True,
            "temperature": 1.0,
            "contrast": False,
            "base": "zero",
            "align_corners": True,
            "present_above": "base",
            "mask_at": "pixels",
        },
        "fast": {"mask_at": "fewest", "top_k": 50},
        "gscorecam": {
            "top_k": 300,
            "importance": "gradient",
            "cap": False,
            "shift": False,
            "temperature": 1.0,
            "contrast": False,
            "mask_at": "pixels",
        },
    }
    deprecated_presets: ClassVar[dict[str, str]] = {"seed": "paper"}

    cap: bool = Field(True, description="Keep only the maps whose masked image beats the base image.")
    shift: bool = Field(True, description="Subtract the base image's score (no effect under softmax).")
    softmax: bool = Field(True, description="Weight by a softmax over the kept maps instead of by the score itself.")
    temperature: float = Field(
        0.05, gt=0, description="Divides the scores (cosines); small is sharp. The article's code has 1."
    )
    contrast: bool | Literal["auto"] = Field(
        "auto",
        description="Subtract from each weight the mean weight of the kept maps, and from each map its mean, so that "
        "what every text would show cancels out; auto as far as a mask explains the text better than the image does.",
    )
    base: Literal["zero", "mean", "blur"] = Field(
        "zero",
        description="What a masked-out pixel becomes (at the pool none is): the data's mean colour, the image's mean "
        "colour, a blur.",
    )
    align_corners: bool = Field(True, description="Whether the upsampling of the masks aligns corners.")
    top_k: int | None = Field(
        None,
        ge=1,
        description="Score only the k most important maps; the others count as average under contrast. It saves "
        "passes, so it says nothing at the pool, where there are none to save; nor does stop_at.",
    )
    stop_at: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Score the most important maps first, twice as many each round, until the boxes of two successive "
        "rounds have this IoU (0.9 is careful); top_k, if given, is the most that are scored.",
    )
    importance: Literal["contribution", "gradient"] = Field(
        "contribution",
        description="What top_k and stop_at rank by: the map's first-order contribution to cos(image, text), gradient "
        "times activation, or the mean gradient alone, as gScoreCAM.",
    )
    present_above: float | Literal["auto", "base"] = Field(
        "auto",
        description="Cosine that the best masked image must exceed for the text to count as present; base takes the "
        "base image's (the article's rule), auto a calibration of the encoder where there is one for these options.",
    )
    batch: int | None = Field(None, ge=1, description="Masked images per forward pass; by default set by the device.")

    def resolved(self, encoder: EncoderInfo) -> Self:
        """With the place of the masks by name; at the pool, where all maps cost one pass, no way to score fewer.

        Raises :class:`UsageError` for fewer of the maps of another encoder, which have no gradient to rank them by.
        """
        resolved = super().resolved(encoder)
        if resolved.mask_at == "pool":
            resolved = resolved.model_copy(update={"top_k": None, "stop_at": None})
        if resolved.features_from is not None and (resolved.top_k is not None or resolved.stop_at is not None):
            raise UsageError(
                "vlscore: top_k and stop_at rank feature maps by their gradient, and the embedding does not depend on "
                f"those of another encoder (features_from={resolved.features_from}); use pca or clusters to have fewer "
                "maps, or leave out top_k, stop_at and presets that set them"
            )
        return resolved

    def evidence_options(self) -> dict[str, Any] | None:
        """All except those that only affect the drawing; none if ``present_above`` says what is present."""
        options = super().evidence_options()
        if options is None or self.present_above != "auto":
            return None
        return {name: value for name, value in options.items() if name not in _DRAWING}


_DRAWING = {"cap", "shift", "softmax", "temperature", "contrast", "batch", "present_above"}
"""Options that change the map, and not which masked image matches the text best."""
