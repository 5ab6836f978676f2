"""Any tower of timm as a source of feature maps: DINO, a vision transformer, a network without names for its classes.

It has no texts, so it judges nothing; another encoder judges what its maps propose (``--features-from``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import EncoderInfo, Layer, SpatialMaps, TokenGrid, UsageError, layer_name

__all__ = ["FeatureEncoder", "layers_of", "token_grid"]


class FeatureEncoder:
    """An encoder of images alone.

    Args:
        model: of timm, in float32; ``info.layers`` are modules of it.
        info: what the rest of the program should know.
        reason: why there are no texts, for people.
    """

    def __init__(self, model: nn.Module, info: EncoderInfo, reason: str) -> None:
        self._model = model.eval()
        self._reason = reason
        self.info = info

    @property
    def visual(self) -> nn.Module:
        return self._model

    @property
    def device(self) -> torch.device:
        return next(self._model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed float32 normalised pixels [B, 3, H, W] as unit vectors [B, D]: what the model pools, and classifies."""
        model: Any = self._model
        pooled: Tensor = model.forward_head(model.forward_features(pixels), pre_logits=True)
        return F.normalize(pooled, dim=1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Raises :class:`UsageError`: there are no texts."""
        raise UsageError(
            f"{self.info.name} ({self.info.weights}) cannot judge texts: {self._reason}. Another encoder can judge "
            "its feature maps: --features-from, or features_from=… of a method"
        )

    def layer(self, name: str) -> Layer:
        """Describe a layer: maps [B, C, h, w], or tokens."""
        name = layer_name(self.info, name)
        module = self._model.get_submodule(name)
        grid = token_grid(self._model)
        if grid is not None:
            return Layer(name, module, grid)
        return Layer(name, module, SpatialMaps(channels_last=getattr(self._model, "output_fmt", "NCHW") == "NHWC"))


def token_grid(model: Any) -> TokenGrid | None:
    """How the tokens of a plain vision transformer lie over the image; ``None`` for a network with stages."""
    size = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if size is None or not hasattr(model, "num_prefix_tokens"):
        return None
    return TokenGrid(int(size[0]), int(size[1]), prefix_tokens=model.num_prefix_tokens)


def layers_of(model: nn.Module) -> tuple[str, ...]:
    """The layers of a model whose maps can be read, from input to output: blocks of a transformer, else stages."""
    modules = dict(model.named_modules())
    if token_grid(model) is not None:
        return tuple(name for name in modules if re.fullmatch(r"blocks\.\d+", name))
    info: Any = getattr(model, "feature_info", None)
    listed = (str(item["module"]) for item in (getattr(info, "info", None) or info or ()))
    return tuple(name for name in listed if name in modules)
