"""Everything that decides a run's numbers, found out before it starts: names, options, plugins and versions."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.contracts.config import FeatureConfig
from xtool.contracts.registry import registry
from xtool.metrics.topk import same_names
from xtool.store.manifest import SCHEMA_VERSION, DatasetIdentity, EncoderIdentity, Identity, Manifest

if TYPE_CHECKING:
    from xtool.contracts.catalogue import Catalogue
    from xtool.contracts.protocols import Encoder
    from xtool.engine.methods import MethodRequest
    from xtool.evaluator.evaluation import Evaluation

__all__ = ["manifest_of"]

CORE = "xtool-saliency"
CORE_LIBRARIES = ("numpy", "pillow", "scipy", "torch")
"""Those of the core's dependencies that affect numbers; changing the others changes none."""


def manifest_of(
    evaluation: Evaluation,
    requests: Sequence[MethodRequest],
    *,
    images: int,
    limit: int | None,
    shard: tuple[int, int],
    data_dir: str | Path | None,
    batch: int,
) -> Manifest:
    """The manifest of an evaluation of these methods, whose options are resolved, on so many images, ``batch`` at once.

    Raises :class:`SetupError` where a protocol or a metric needs a library that is missing.
    """
    encoder, dataset, classifier = evaluation.encoder, evaluation.dataset, evaluation.classifier
    plugins = _plugins(evaluation, requests)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        identity=Identity(
            xtool=version(CORE),
            dataset=DatasetIdentity(
                name=dataset.name,
                fingerprint=dataset.fingerprint(),
                classes_counted_as_one=same_names(dataset.classes),
            ),
            encoder=_identity(encoder),
            classifier=_identity(classifier) if classifier else None,
            features_from={asked: _identity(source) for asked, source in _sources(requests).items()},
            methods=[request.describe() for request in requests],
            protocol=evaluation.protocol.name,
            templates=list(evaluation.templates),
            fit=evaluation.fit,
            metrics=sorted(metric.info.name for metric in evaluation.metrics if metric.on_request),
            maps=evaluation.maps,
            limit=limit,
            shard=shard,
            plugins=plugins,
            libraries=_libraries(evaluation, plugins),
        ),
        images=images,
        data_dir=str(Path(data_dir).resolve()) if data_dir is not None else None,
        device=str(encoder.device),
        batch=batch,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        python=platform.python_version(),
        platform=platform.platform(),
    )


def _sources(requests: Sequence[MethodRequest]) -> dict[str, Encoder]:
    """The other encoders that feature maps come from, by what the option says."""
    return {
        str(request.config.features_from): request.source
        for request in requests
        if isinstance(request.config, FeatureConfig) and request.source is not None
    }


def _identity(encoder: Encoder) -> EncoderIdentity:
    info = encoder.info
    return EncoderIdentity(
        name=info.name,
        weights=info.weights,
        sha256=info.weights_sha256,
        trained=info.trained,
        input_size=info.input_size,
        dtype=str(encoder.dtype).removeprefix("torch."),
    )


def _plugins(evaluation: Evaluation, requests: Sequence[MethodRequest]) -> dict[str, str]:
    """Version of each distribution that a part of the run comes from, the core's own left out."""
    known = registry()
    owners = {request.provided.owner for request in requests}
    for request in requests:
        if isinstance(request.config, FeatureConfig):
            owners |= known.feature_extractors.owners(request.config.features)
    found: dict[str, str] = {}
    parts: list[tuple[Catalogue[Any], str, object]] = [
        (known.datasets, evaluation.dataset.name.partition(":")[0], evaluation.dataset)
    ]
    encoders = [each for each in (evaluation.encoder, evaluation.classifier) if each is not None]
    encoders += _sources(requests).values()
    parts += [(known.encoders, encoder.info.name, encoder) for encoder in encoders]
    for catalogue, name, thing in parts:
        named = catalogue.owners(name)
        owners |= named
        if not named:
            found.update(_distribution_of(thing))  # made by hand and handed over
    found.update({plugin.distribution: plugin.version for plugin in known.plugins if plugin.name in owners})
    found.pop(CORE, None)
    return dict(sorted(found.items()))


def _distribution_of(thing: object) -> dict[str, str]:
    names = _distributions().get(type(thing).__module__.partition(".")[0], [])
    return {name: version(name) for name in names}


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Of each package that can be imported; it takes a second to find out."""
    return packages_distributions()


def _libraries(evaluation: Evaluation, plugins: dict[str, str]) -> dict[str, str]:
    found = evaluation.protocol.finder.versions()
    for metric in evaluation.metrics:
        found |= metric.versions()
    names = {*CORE_LIBRARIES, *(name for plugin in plugins for name in _computing(plugin))} - plugins.keys()
    return dict(sorted({**found, **{name: version(name) for name in names}}.items()))


def _computing(distribution: str) -> Iterator[str]:
    """The libraries that a plugin computes with, and those that these compute with: timm, say, behind open_clip.

    A library computes if it requires one that numbers come from; the hub's client, say, does not.
    """
    for name in _requirements(distribution) - _requirements(CORE) - {CORE}:
        if _requirements(name) & set(CORE_LIBRARIES):
            yield name
            yield from _computing(name)


@cache
def _requirements(distribution: str) -> frozenset[str]:
    """Names of a distribution's own requirements, without those of its extras; none where it is not installed."""
    try:
        told = requires(distribution) or ()
    except PackageNotFoundError:  # for another platform, or a plugin without a distribution
        return frozenset()
    names = (re.match(r"[\w.-]+", line) for line in told if "extra ==" not in line)
    return frozenset(re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name)
