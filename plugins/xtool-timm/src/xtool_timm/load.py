"""Build an encoder from a model of timm."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xtool.loading import resolve_device, resolve_dtype, sha256
from xtool.plugin import EncoderInfo, EncoderOptions, UsageError
from xtool_timm.classes import read_classes
from xtool_timm.encoder import ClassifierEncoder
from xtool_timm.features_only import FeatureEncoder, layers_of, token_grid
from xtool_timm.lite0 import Lite0
from xtool_timm.models import config_of, load_model, resized
from xtool_timm.names import ClassNames
from xtool_timm.tower import ClassifierTower, NoClassifierError, class_vectors

__all__ = ["load"]

LOG = logging.getLogger("xtool_timm")

FEATURES = "features"
"""The layer that is pooled and classified."""


def load(name: str, options: EncoderOptions) -> ClassifierEncoder | FeatureEncoder:
    """Load ``timm-MODEL``, or any model of timm as ``timm`` with ``pretrained="MODEL.TAG"``.

    Args:
        name: of the encoder.
        options: ``pretrained`` is a tag of the model, the path of a checkpoint, ``"packaged"`` for the weights of an
            index package (``tf_efficientnet_lite0`` only), or ``None`` for random weights; of ``timm`` it is
            ``"MODEL.TAG"``, ``"MODEL"`` for timm's first tag, ``"MODEL=FILE"`` or ``"MODEL=none"``. ``classes`` is a
            file with names for the outputs of a checkpoint of one's own. Networks that are convolutional throughout
            take any ``input_size`` that leaves something of the picture at their last stage, and vision transformers
            any multiple of their patches.

    Returns:
        a classifier whose classes texts are taken for; of a model that is no CNN with a linear classifier and names for
        its classes, an encoder of images alone.

    Raises :class:`UsageError` for an unknown model or tag, or names that do not fit, and :class:`SetupError` for
    weights or a device that are not available.
    """
    if options.compile:
        LOG.warning("%s: --compile is ignored, classifiers are not compiled", name)
    device = resolve_device(options.device)
    own = None if options.classes is None else read_classes(options.classes)
    model, weights, digest = load_model(name, options, None if own is None else len(own.names))
    size = resized(model, options.input_size, name)
    info = EncoderInfo(
        name=name,
        architecture="cnn",
        input_size=size,
        mean=_triple(config_of(model)["mean"]),
        std=_triple(config_of(model)["std"]),
        embed_dim=_width(model),
        patch_size=None,
        layers=(),
        default_layer=FEATURES,
        default_features="timm-spatial",
        weights=weights if options.classes is None else f"{weights}, {_told(options.classes)}",
        weights_sha256=digest,
        trained=digest is not None,
    )
    try:
        try:
            vectors = class_vectors(model.get_classifier())  # type: ignore[operator]
            names = partial(_given, own) if own is not None else _class_names(model)
            layers = (*_stages(model, size), FEATURES)
        except NoClassifierError as reason:
            if own is not None:
                raise
            return _features_only(model.to(device), info, str(reason))
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    tower = ClassifierTower(model, layers)
    pools_masks = tower.pools_by_mean(size)
    # Convolutions follow the layout of their weights: channels-last takes a third of the time on a CPU.
    tower.to(device).to(memory_format=torch.channels_last)
    info = replace(
        info,
        embed_dim=vectors.shape[1],
        layers=layers,
        pools_masks=pools_masks,
        default_mask_at="pool" if pools_masks else "pixels",
    )
    return ClassifierEncoder(tower, vectors.to(device), names, info, resolve_dtype(options.dtype))


def _features_only(model: nn.Module, info: EncoderInfo, reason: str) -> FeatureEncoder:
    grid, layers = token_grid(model), layers_of(model)
    if not layers:
        raise UsageError(f"{reason}, and timm names no stages of it whose feature maps could be read")
    info = replace(info, layers=layers, default_layer=layers[-1])
    if grid is not None:
        patch = info.input_size[0] // grid.height
        info = replace(info, architecture="vit", patch_size=patch, default_features="timm-tokens")
    return FeatureEncoder(model, info, reason)


@torch.no_grad()
def _stages(model: nn.Module, input_size: tuple[int, int]) -> tuple[str, ...]:
    """Modules whose outputs are maps [1, C, h, w], each the last of its size; names as timm's ``feature_info``."""
    info: Any = getattr(model, "feature_info", None)
    listed = [str(item["module"]) for item in (getattr(info, "info", None) or info or ())]
    shapes: dict[str, tuple[int, ...]] = {}

    def see(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: shapes.update({name: tuple(output.shape)})

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(see(name)) for name in listed if name in modules]
    try:
        maps = model.forward_features(torch.zeros(1, 3, *input_size))  # type: ignore[operator]
    except (AssertionError, RuntimeError, ValueError) as error:  # too small, or a tower with a size of its own
        size = "×".join(map(str, input_size))
        raise UsageError(f"it cannot take images of {size} pixels, try another input size: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    if maps.ndim != 4 or maps.shape[1] != model.num_features:
        raise NoClassifierError(f"it computes {list(maps.shape)}, not feature maps [B, C, h, w]; only CNNs judge")
    return tuple(name for name in listed if len(shapes.get(name, ())) == 4)


def _class_names(model: nn.Module) -> Callable[[], ClassNames]:
    """Reads the names of a model's classes when they are first asked for.

    Raises :class:`NoClassifierError` at once for a model whose classes have none.
    """
    if isinstance(model, Lite0):
        return partial(_names_of, "imagenet-1k")
    from timm.data import infer_imagenet_subset

    subset = infer_imagenet_subset(model)
    if subset is None:
        raise NoClassifierError(
            f"its {model.num_classes} classes are not an ImageNet class set that timm has names for; give names with "
            "--classes FILE"
            if model.num_classes
            else "it has no classifier"
        )
    return partial(_names_of, subset)


@cache
def _names_of(subset: str) -> ClassNames:
    """What timm calls the classes of a set of ImageNet's."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo(subset)
    names, definitions = [], []
    for index in range(info.num_classes()):
        lemmas = info.index_to_description(index)
        names.append([name.strip() for name in lemmas.split(",")])
        definitions.append(info.index_to_description(index, detailed=True).removeprefix(lemmas))
    return ClassNames(names, definitions)


def _given(names: ClassNames) -> ClassNames:
    """A function that can be pickled, as a lambda cannot."""
    return names


def _told(classes: str) -> str:
    """What results call a file of names: it decides them as much as weights do."""
    path = Path(classes).expanduser()
    return f"classes of {path.name} (SHA-256 {sha256(path)[:12]})"


def _width(model: Any) -> int:
    """Of what is pooled, and classified."""
    return int(getattr(model, "head_hidden_size", model.num_features))


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
