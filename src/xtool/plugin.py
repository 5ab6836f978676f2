"""What authors of plugins import: hooks, specs, protocols, options, the mask engine, shared work; and, for plugins
with commands, what it takes to run methods and comparisons.

:data:`API_VERSION` covers this module, :mod:`xtool.loading` and :mod:`xtool.testing`. Everything else in xtool,
wherever it may be imported from, can move between releases. Names are imported when they are first used, so that a
plugin's root module, which needs only specs and :data:`hookimpl`, stays free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtool.cli.completion import complete_datasets, complete_encoders, complete_methods
    from xtool.cli.options import calibration_option, dataset_options, encoder_options, methods_option, parse_shard
    from xtool.cli.progress import progress_bar
    from xtool.contracts.config import Device, Dtype, EncoderOptions, FeatureConfig, MaskConfig, MethodConfig
    from xtool.contracts.hookspecs import hookimpl
    from xtool.contracts.layers import Block, Cut, Heads, Layer, Layout, Pooling, SelfAttention, SpatialMaps, TokenGrid
    from xtool.contracts.protocols import (
        Calibration,
        Dataset,
        Encoder,
        EncoderInfo,
        ExplainsWords,
        FeatureExtractor,
        FeatureMaps,
        PoolsMasks,
        Saliency,
        SaliencyMethod,
        Sample,
        Understanding,
        UnderstandsTexts,
    )
    from xtool.contracts.registry import API_VERSION, registry, resolve
    from xtool.contracts.specs import (
        Architecture,
        CommandSpec,
        DatasetSpec,
        EncoderSpec,
        FeatureExtractorSpec,
        SaliencyMethodSpec,
    )
    from xtool.datasets.opening import open_dataset
    from xtool.engine.cost import Estimate, seconds_per_pass
    from xtool.engine.encoder_names import find_encoder
    from xtool.engine.encoders import CountedEncoder, load_encoder
    from xtool.engine.features import build_extractor
    from xtool.engine.layers import (
        AUTO,
        LayerFeatures,
        cut_of,
        cut_pass,
        gradient_layer,
        hooked,
        layer_name,
        read_heads,
        read_maps,
    )
    from xtool.engine.masked_attention import attend, attend_one, cell_weights
    from xtool.engine.masking import MaskedEmbeddings, embed_masked
    from xtool.engine.masks import live_maps, masked_means, resized_masks
    from xtool.engine.methods import MethodRequest, config_class, parse_methods, refusal
    from xtool.engine.prompts import DEFAULT_TEMPLATES, prompts_for
    from xtool.engine.readers import read_under_masks
    from xtool.engine.texts import matches
    from xtool.engine.transformer import TokenStream, read_stream, transformer_parts
    from xtool.engine.words import Word
    from xtool.engine.work import shared, tower_pass
    from xtool.errors import DataError, SetupError, UsageError, XtoolError
    from xtool.evaluator.comparison import OnProgress, compare
    from xtool.explainer import Explainer
    from xtool.explanation import Explanation
    from xtool.image.files import open_image
    from xtool.image.geometry import FITS, Fit
    from xtool.metrics.boxes import BoxSweep, box_sweep, largest
    from xtool.metrics.iou import box_iou
    from xtool.runs.run import Run, open_runs

__all__ = [
    "API_VERSION",
    "AUTO",
    "DEFAULT_TEMPLATES",
    "FITS",
    "Architecture",
    "Block",
    "BoxSweep",
    "Calibration",
    "CommandSpec",
    "CountedEncoder",
    "Cut",
    "DataError",
    "Dataset",
    "DatasetSpec",
    "Device",
    "Dtype",
    "Encoder",
    "EncoderInfo",
    "EncoderOptions",
    "EncoderSpec",
    "Estimate",
    "Explainer",
    "ExplainsWords",
    "Explanation",
    "FeatureConfig",
    "FeatureExtractor",
    "FeatureExtractorSpec",
    "FeatureMaps",
    "Fit",
    "Heads",
    "Layer",
    "LayerFeatures",
    "Layout",
    "MaskConfig",
    "MaskedEmbeddings",
    "MethodConfig",
    "MethodRequest",
    "OnProgress",
    "Pooling",
    "PoolsMasks",
    "Run",
    "Saliency",
    "SaliencyMethod",
    "SaliencyMethodSpec",
    "Sample",
    "SelfAttention",
    "SetupError",
    "SpatialMaps",
    "TokenGrid",
    "TokenStream",
    "Understanding",
    "UnderstandsTexts",
    "UsageError",
    "Word",
    "XtoolError",
    "attend",
    "attend_one",
    "box_iou",
    "box_sweep",
    "build_extractor",
    "calibration_option",
    "cell_weights",
    "compare",
    "complete_datasets",
    "complete_encoders",
    "complete_methods",
    "config_class",
    "cut_of",
    "cut_pass",
    "dataset_options",
    "embed_masked",
    "encoder_options",
    "find_encoder",
    "gradient_layer",
    "hooked",
    "hookimpl",
    "largest",
    "layer_name",
    "live_maps",
    "load_encoder",
    "masked_means",
    "matches",
    "methods_option",
    "open_dataset",
    "open_image",
    "open_runs",
    "parse_methods",
    "parse_shard",
    "progress_bar",
    "prompts_for",
    "read_heads",
    "read_maps",
    "read_stream",
    "read_under_masks",
    "refusal",
    "registry",
    "resized_masks",
    "resolve",
    "seconds_per_pass",
    "shared",
    "tower_pass",
    "transformer_parts",
]

_HOMES = {
    "xtool.cli.completion": "complete_datasets complete_encoders complete_methods",
    "xtool.cli.options": "calibration_option dataset_options encoder_options methods_option parse_shard",
    "xtool.cli.progress": "progress_bar",
    "xtool.contracts.config": "Device Dtype EncoderOptions FeatureConfig MaskConfig MethodConfig",
    "xtool.contracts.hookspecs": "hookimpl",
    "xtool.contracts.layers": "Block Cut Heads Layer Layout Pooling SelfAttention SpatialMaps TokenGrid",
    "xtool.contracts.protocols": "Calibration Dataset Encoder EncoderInfo ExplainsWords FeatureExtractor FeatureMaps "
    "PoolsMasks Saliency SaliencyMethod Sample Understanding UnderstandsTexts",
    "xtool.contracts.registry": "API_VERSION registry resolve",
    "xtool.contracts.specs": "Architecture CommandSpec DatasetSpec EncoderSpec FeatureExtractorSpec SaliencyMethodSpec",
    "xtool.datasets.opening": "open_dataset",
    "xtool.engine.cost": "Estimate seconds_per_pass",
    "xtool.engine.encoder_names": "find_encoder",
    "xtool.engine.encoders": "CountedEncoder load_encoder",
    "xtool.engine.features": "build_extractor",
    "xtool.engine.layers": "AUTO LayerFeatures cut_of cut_pass gradient_layer hooked layer_name read_heads read_maps",
    "xtool.engine.masked_attention": "attend attend_one cell_weights",
    "xtool.engine.masking": "MaskedEmbeddings embed_masked",
    "xtool.engine.masks": "live_maps masked_means resized_masks",
    "xtool.engine.methods": "MethodRequest config_class parse_methods refusal",
    "xtool.engine.prompts": "DEFAULT_TEMPLATES prompts_for",
    "xtool.engine.readers": "read_under_masks",
    "xtool.engine.texts": "matches",
    "xtool.engine.transformer": "TokenStream read_stream transformer_parts",
    "xtool.engine.words": "Word",
    "xtool.engine.work": "shared tower_pass",
    "xtool.errors": "DataError SetupError UsageError XtoolError",
    "xtool.explainer": "Explainer",
    "xtool.explanation": "Explanation",
    "xtool.image.files": "open_image",
    "xtool.image.geometry": "FITS Fit",
    "xtool.metrics.boxes": "BoxSweep box_sweep largest",
    "xtool.metrics.iou": "box_iou",
    "xtool.evaluator.comparison": "OnProgress compare",
    "xtool.runs.run": "Run open_runs",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
