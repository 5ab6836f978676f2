"""Feature extractors by name, with what the core adds to each: sharing, counting and reducing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xtool.contracts.protocols import FeatureMaps
from xtool.contracts.registry import registry, resolve
from xtool.engine.encoders import exclusive
from xtool.engine.guard import checked_features
from xtool.engine.layers import AUTO, layer_name
from xtool.engine.reduce import cluster_sums, principal_components
from xtool.engine.sources import FeaturesFrom
from xtool.engine.work import shared, tower_pass
from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, EncoderInfo, FeatureExtractor


def build_extractor(
    features: str,
    layer: str,
    pca: int | None,
    encoder: EncoderInfo,
    *,
    clusters: int | None = None,
    source: Encoder | None = None,
) -> FeatureExtractor:
    """The feature extractor ``features`` at ``layer`` (each may be ``auto``), with its maps reduced if asked.

    Args:
        features: its name.
        layer: a layer of the encoder that is read.
        pca: how many principal components to reduce the maps of each image to.
        encoder: the encoder that is explained, and read if there is no other source.
        clusters: how many sums of similar maps to reduce the maps of each image to.
        source: another encoder to read (:mod:`xtool.engine.sources`).

    Raises:
        UsageError: an unknown extractor, one for another architecture, a layer that the encoder does not have, or
            two reductions at once.
    """
    if pca is not None and clusters is not None:
        raise UsageError("pca and clusters both reduce the number of maps; give only one of them")
    read = encoder if source is None else source.info
    name = read.default_features if features == AUTO else features
    spec = registry().feature_extractors.find(name).spec
    if read.architecture not in spec.architectures:
        raise UsageError(
            f"features={name} reads {' and '.join(spec.architectures)} encoders; "
            f"{read.name} is a {read.architecture}, try features={read.default_features}"
        )
    layer = layer_name(read, layer)  # so that who names the default layer shares the pass of who does not
    extractor = SharedExtractor(resolve(spec.factory)(layer), (name, layer), pca, clusters)
    return extractor if source is None else FeaturesFrom(source, extractor)


class SharedExtractor:
    """An extractor whose pass is counted, and done once for all methods that explain the same image."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        identity: tuple[str, str],
        pca: int | None = None,
        clusters: int | None = None,
    ) -> None:
        self._extractor = extractor
        self._identity = identity
        self._pca = pca
        self._clusters = clusters

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """See :meth:`xtool.plugin.FeatureExtractor.extract`."""
        if torch.is_grad_enabled() and pixels.requires_grad:
            return self._reduced(self._extract(encoder, pixels))  # a graph is freed by its user and cannot be shared
        whole = shared(("features", self._identity), (encoder.visual, pixels), lambda: self._extract(encoder, pixels))
        return shared(("reduced", self._pca, self._clusters), (whole,), lambda: self._reduced(whole))

    def _extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        name, layer = self._identity
        culprit = f"features={name} at {layer} of {encoder.info.name}"
        with exclusive(encoder), tower_pass(len(pixels)):
            return checked_features(self._extractor.extract(encoder, pixels), culprit, len(pixels))

    def _reduced(self, features: FeatureMaps) -> FeatureMaps:
        if self._pca is not None:
            return FeatureMaps(principal_components(features.maps, self._pca), features.embedding)
        if self._clusters is not None:
            return FeatureMaps(cluster_sums(features.maps, self._clusters), features.embedding)
        return features
