"""Build an encoder from a timm classifier. timm itself is imported only where a model needs it: it takes seconds."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xtool.loading import local_checkpoint, resolve_device, resolve_dtype, seeded, sha256
from xtool.plugin import EncoderInfo, EncoderOptions, UsageError
from xtool_timm import PREFIX
from xtool_timm.encoder import ClassifierEncoder
from xtool_timm.lite0 import Lite0
from xtool_timm.names import ClassNames
from xtool_timm.tower import ClassifierTower, class_vectors
from xtool_timm.weights import LITE0, PACKAGED, load_weights, packaged_weights, published_weights

__all__ = ["load"]

LOG = logging.getLogger("xtool_timm")

FEATURES = "features"
"""The layer that is pooled and classified."""


def load(name: str, options: EncoderOptions) -> ClassifierEncoder:
    """Load ``timm-MODEL``, or any model of timm as ``timm`` with ``pretrained="MODEL.TAG"``.

    Args:
        name: of the encoder.
        options: ``pretrained`` is a tag of the model, the path of a checkpoint, ``"packaged"`` for the weights of an
            index package (``tf_efficientnet_lite0`` only), or ``None`` for random weights. Networks that are
            convolutional throughout take any ``input_size`` that leaves something of the picture at their last stage.

    Raises :class:`UsageError` for an unknown model or tag or one that is no ImageNet CNN with a linear classifier, and
    :class:`SetupError` for weights or a device that are not available.
    """
    if options.compile:
        LOG.warning("%s: --compile is ignored, classifiers are not compiled", name)
    model_name, pretrained = _asked(name, options.pretrained)
    device = resolve_device(options.device)
    model, weights, digest = _model(model_name, pretrained, options)
    config: Any = model.pretrained_cfg
    input_size = (int(config["input_size"][1]), int(config["input_size"][2]))
    if options.input_size is not None:
        input_size = (options.input_size, options.input_size)
    try:
        vectors = class_vectors(model.get_classifier())  # type: ignore[operator]
        layers = (*_stages(model, input_size), FEATURES)
        names = _class_names(model)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    tower = ClassifierTower(model, layers)
    pools_masks = tower.pools_by_mean(input_size)
    # Convolutions follow the layout of their weights: channels-last takes a third of the time on a CPU.
    tower.to(device).to(memory_format=torch.channels_last)
    info = EncoderInfo(
        name=name,
        architecture="cnn",
        input_size=input_size,
        mean=_triple(config["mean"]),
        std=_triple(config["std"]),
        embed_dim=vectors.shape[1],
        patch_size=None,
        layers=layers,
        default_layer=FEATURES,
        default_features="timm-spatial",
        weights=weights,
        weights_sha256=digest,
        trained=pretrained is not None,
        pools_masks=pools_masks,
        default_mask_at="pool" if pools_masks else "pixels",
    )
    return ClassifierEncoder(tower, vectors.to(device), names, info, resolve_dtype(options.dtype))


def _asked(name: str, pretrained: str | None) -> tuple[str, str | None]:
    if name != "timm":
        return name.removeprefix(PREFIX), pretrained
    if pretrained is None:
        raise UsageError(
            "encoder timm needs --pretrained MODEL.TAG; for random weights take timm-resnet50 --pretrained none"
        )
    model, _, tag = pretrained.partition(".")
    if not tag:
        raise UsageError(f"--pretrained {pretrained!r} must look like MODEL.TAG, for example resnet50d.ra2_in1k")
    return model, tag


def _model(name: str, pretrained: str | None, options: EncoderOptions) -> tuple[nn.Module, str, str | None]:
    """The model in eval mode, and what its weights are called, with their hash where they are a file."""
    file = _file(name, pretrained)
    _check_known(name, pretrained if file is None else None)
    if pretrained is not None and file is None:
        file = published_weights(name, pretrained, options.cache_dir)
    with seeded(options.seed):
        model = _built(name)
    if pretrained is None or file is None:
        return model.eval(), f"random (seed {options.seed})", None
    load_weights(model, name, file)
    return model.eval(), Path(pretrained).name, sha256(file)


def _built(name: str) -> nn.Module:
    if name == LITE0:
        return Lite0()
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False)
    return model


def _file(name: str, pretrained: str | None) -> Path | None:
    if pretrained == PACKAGED:
        if name != LITE0:
            raise UsageError(f"weights {PACKAGED!r} exist only for {PREFIX}{LITE0}")
        return packaged_weights()
    if pretrained is None:
        return None
    return local_checkpoint(pretrained, name)


def _check_known(name: str, tag: str | None) -> None:
    """Raise :class:`UsageError` for a model or a tag that timm does not have, before anything is fetched."""
    if name == LITE0 and tag is None:
        return
    import timm

    if name not in timm.list_models():
        near = difflib.get_close_matches(name, timm.list_models(), n=2)
        raise UsageError(f"timm has no model {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    if tag is None:
        return
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if tag not in tags:
        raise UsageError(
            f"{name} has no weights {tag!r}; timm has {', '.join(tags) or 'none'}, or give a checkpoint file"
        )


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
        raise UsageError(f"it computes {list(maps.shape)}, not feature maps [B, C, h, w]; xtool-timm reads CNNs")
    return tuple(name for name in listed if len(shapes.get(name, ())) == 4)


def _class_names(model: nn.Module) -> Callable[[], ClassNames]:
    """Reads the names of a model's classes when they are first asked for.

    Raises :class:`UsageError` at once for a model whose classes have none.
    """
    if isinstance(model, Lite0):
        return partial(_names_of, "imagenet-1k")
    from timm.data import infer_imagenet_subset

    subset = infer_imagenet_subset(model)
    if subset is None:
        raise UsageError(f"its {model.num_classes} classes are not an ImageNet class set that timm has names for")
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


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
