"""What authors of plugins import: hooks, specs, protocols, options, the mask engine, shared work.

This module is what :data:`API_VERSION` covers. Everything else in xtool, wherever it may be imported from, can move
between releases. Names are imported when they are first used, so that a plugin's root module, which needs only specs
and :data:`hookimpl`, stays free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtool.contracts.config import Device, Dtype, EncoderOptions, FeatureConfig, MethodConfig
    from xtool.contracts.hookspecs import hookimpl
    from xtool.contracts.layers import Block, Heads, Layer, Layout, Pooling, SelfAttention, SpatialMaps, TokenGrid
    from xtool.contracts.protocols import (
        Dataset,
        Encoder,
        EncoderInfo,
        FeatureExtractor,
        FeatureMaps,
        Saliency,
        SaliencyMethod,
        Sample,
    )
    from xtool.contracts.registry import API_VERSION
    from xtool.contracts.specs import (
        Architecture,
        DatasetSpec,
        EncoderSpec,
        FeatureExtractorSpec,
        SaliencyMethodSpec,
    )
    from xtool.engine.layers import LayerFeatures, gradient_layer, hooked, layer_name, read_heads, read_maps
    from xtool.engine.masking import MaskedEmbeddings, embed_masked
    from xtool.engine.sharing import shared, tower_pass
    from xtool.errors import DataError, SetupError, UsageError, XtoolError
    from xtool.metrics.boxes import BoxSweep, box_sweep, largest
    from xtool.metrics.iou import box_iou

__all__ = [
    "API_VERSION",
    "Architecture",
    "Block",
    "BoxSweep",
    "DataError",
    "Dataset",
    "DatasetSpec",
    "Device",
    "Dtype",
    "Encoder",
    "EncoderInfo",
    "EncoderOptions",
    "EncoderSpec",
    "FeatureConfig",
    "FeatureExtractor",
    "FeatureExtractorSpec",
    "FeatureMaps",
    "Heads",
    "Layer",
    "LayerFeatures",
    "Layout",
    "MaskedEmbeddings",
    "MethodConfig",
    "Pooling",
    "Saliency",
    "SaliencyMethod",
    "SaliencyMethodSpec",
    "Sample",
    "SelfAttention",
    "SetupError",
    "SpatialMaps",
    "TokenGrid",
    "UsageError",
    "XtoolError",
    "box_iou",
    "box_sweep",
    "embed_masked",
    "gradient_layer",
    "hooked",
    "hookimpl",
    "largest",
    "layer_name",
    "read_heads",
    "read_maps",
    "shared",
    "tower_pass",
]

_HOMES = {
    "xtool.contracts.config": ("Device", "Dtype", "EncoderOptions", "FeatureConfig", "MethodConfig"),
    "xtool.contracts.hookspecs": ("hookimpl",),
    "xtool.contracts.layers": (
        "Block",
        "Heads",
        "Layer",
        "Layout",
        "Pooling",
        "SelfAttention",
        "SpatialMaps",
        "TokenGrid",
    ),
    "xtool.contracts.protocols": (
        "Dataset",
        "Encoder",
        "EncoderInfo",
        "FeatureExtractor",
        "FeatureMaps",
        "Saliency",
        "SaliencyMethod",
        "Sample",
    ),
    "xtool.contracts.registry": ("API_VERSION",),
    "xtool.contracts.specs": (
        "Architecture",
        "DatasetSpec",
        "EncoderSpec",
        "FeatureExtractorSpec",
        "SaliencyMethodSpec",
    ),
    "xtool.engine.layers": ("LayerFeatures", "gradient_layer", "hooked", "layer_name", "read_heads", "read_maps"),
    "xtool.engine.masking": ("MaskedEmbeddings", "embed_masked"),
    "xtool.engine.sharing": ("shared", "tower_pass"),
    "xtool.errors": ("DataError", "SetupError", "UsageError", "XtoolError"),
    "xtool.metrics.boxes": ("BoxSweep", "box_sweep", "largest"),
    "xtool.metrics.iou": ("box_iou",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
