"""The kinds of model that can be read, by the ``model_type`` of their configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xtool_transformers.align import AlignTower
from xtool_transformers.groupvit import GroupVitTower
from xtool_transformers.preprocessing import CLIP_NORM, HALF_NORM, Triple
from xtool_transformers.tower import ImageTower
from xtool_transformers.transformer import BlipTower, ClipTower, SiglipTower

__all__ = ["FAMILIES", "Family"]

Size = tuple[int, int]


def _features(model: Any, tokens: dict[str, Tensor]) -> Tensor:
    features: Tensor = model.get_text_features(**tokens).pooler_output
    return features


def _blip_features(model: Any, tokens: dict[str, Tensor]) -> Tensor:
    features: Tensor = model.text_proj(model.text_encoder(**tokens).last_hidden_state[:, 0])
    return features


def _scale(model: Any) -> float:
    return float(model.logit_scale.detach().exp())


@dataclass(frozen=True, slots=True)
class Family:
    """What models of one kind have in common."""

    model: str
    """The class in transformers."""
    tower: Callable[[Any, Size], ImageTower]
    """The model and an input size to its image tower."""
    embed_dim: Callable[[Any], int] = lambda config: int(config.projection_dim)
    """From the configuration."""
    norm: tuple[Triple, Triple] = CLIP_NORM
    """Mean and standard deviation of its usual image processor."""
    sized_by_processor: bool = False
    """Whether the input size is the image processor's; else it is the configuration's."""
    text_features: Callable[[Any, dict[str, Tensor]], Tensor] = _features
    padded: bool = False
    """See :class:`xtool_transformers.text.TextTower`."""
    logit_scale: Callable[[Any], float] = _scale


FAMILIES = {
    "clip": Family("CLIPModel", lambda model, size: ClipTower(model.vision_model, model.visual_projection, size)),
    "siglip": Family(
        "SiglipModel",
        lambda model, size: SiglipTower(model.vision_model, size),
        embed_dim=lambda config: int(config.vision_config.hidden_size),
        norm=HALF_NORM,
        padded=True,
    ),
    "align": Family(
        "AlignModel",
        lambda model, size: AlignTower(model.vision_model, size),
        norm=HALF_NORM,
        sized_by_processor=True,
        logit_scale=lambda model: 1 / float(model.temperature.detach()),
    ),
    "blip": Family(
        "BlipForImageTextRetrieval",
        lambda model, size: BlipTower(model.vision_model, model.vision_proj, size),
        embed_dim=lambda config: int(config.image_text_hidden_size),
        text_features=_blip_features,
        # What its softmax over texts was trained with is not among the weights that transformers keeps.
        logit_scale=lambda _model: 100.0,
    ),
    "groupvit": Family(
        "GroupViTModel", lambda model, size: GroupVitTower(model.vision_model, model.visual_projection, size)
    ),
}
"""SigLIP 2 with a fixed grid is of the type ``siglip``."""
