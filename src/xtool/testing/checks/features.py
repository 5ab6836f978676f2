"""All checks of a feature extractor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xtool.contracts.protocols import Encoder, FeatureExtractor, FeatureMaps
from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import FeatureExtractorSpec
from xtool.engine.encoders import counted
from xtool.errors import XtoolError
from xtool.testing.checks.method_evidence import PLACES, ROOM
from xtool.testing.checks.method_hygiene import OpaqueEncoder
from xtool.testing.checks.spec import cases, spec_cases
from xtool.testing.compare_maps import peak, same
from xtool.testing.planted import CELL
from xtool.testing.setups import SETUPS, Setup, scene, two_scenes
from xtool.testing.snapshot import PlantedError, Snapshot, fault_at
from xtool.testing.verdict import Case, CheckFailed, NotApplicable, require


@dataclass(frozen=True, slots=True)
class FeaturesSubject:
    """An extractor on one planted encoder."""

    spec: FeatureExtractorSpec
    setup: Setup

    def build(self, layer: str | None = None) -> FeatureExtractor:
        extractor: FeatureExtractor = resolve(self.spec.factory)(layer)
        return extractor

    def extract(self, encoder: Encoder, pixels: Tensor, layer: str | None = None) -> FeatureMaps:
        with torch.no_grad():
            return self.build(layer).extract(counted(encoder), pixels)


def plan_features(name: str) -> list[Case]:
    """Checks of the spec, then of the extractor on each planted encoder that it is made for."""
    provided = registry().feature_extractors.find(name)
    planned = spec_cases(provided.owner, provided.spec)
    for architecture in provided.spec.architectures:
        planned += cases(CHECKS, FeaturesSubject(provided.spec, SETUPS[architecture]), architecture)
    return planned


def shape_and_dtype(subject: FeaturesSubject) -> None:
    """extract returns finite maps [B, C, h, w] float32 and unit embeddings [B, D] float32."""
    encoder = subject.setup.encoder()
    problem = _wrong_shape(subject.extract(encoder, two_scenes(encoder)), encoder, 2)
    require(not problem, problem)


def every_layer_can_be_read(subject: FeaturesSubject) -> None:
    """Each layer that the encoder names gives maps, and the default is the same as no layer."""
    encoder = subject.setup.encoder()
    pixels = two_scenes(encoder)
    for layer in encoder.info.layers:
        problem = _wrong_shape(subject.extract(encoder, pixels, layer), encoder, 2)
        require(not problem, f"layer {layer}: {problem}")
    default = subject.extract(encoder, pixels, encoder.info.default_layer)
    require(same(subject.extract(encoder, pixels).maps, default.maps), "layer None is not the encoder's default layer")


def embedding_is_the_encoders(subject: FeaturesSubject) -> None:
    """The embedding is what encode_image gives for the same pixels."""
    encoder = subject.setup.encoder()
    pixels = two_scenes(encoder)
    found = _sound(subject, encoder, pixels)
    with torch.no_grad():
        require(same(found.embedding, encoder.encode_image(pixels)), "the embedding is not encode_image's")


def batch_equals_singles(subject: FeaturesSubject) -> None:
    """An image gets the same maps alone and in a batch."""
    encoder = subject.setup.encoder()
    pixels = two_scenes(encoder)
    together = _sound(subject, encoder, pixels)
    for index in range(len(pixels)):
        alone = _sound(subject, encoder, pixels[index : index + 1])
        require(same(alone.maps[0], together.maps[index]), f"image {index} has different maps alone and in a batch")


def leaves_the_encoder_as_it_was(subject: FeaturesSubject) -> None:
    """Hooks, gradients, flags and weights are the same afterwards."""
    changed = _changed(subject)
    require(not changed, f"extract changes, and does not restore: {', '.join(changed)}")


def leaves_the_encoder_as_it_was_after_an_exception(subject: FeaturesSubject) -> None:
    """The same when the encoder raises in the middle; and the exception is passed on."""
    if _changed(subject):
        raise NotApplicable("cannot be checked before leaves_the_encoder_as_it_was passes")
    encoder = subject.setup.encoder()
    pixels = two_scenes(encoder)
    with fault_at(encoder.visual, 0) as count:
        subject.extract(encoder, pixels)
    for call in sorted({1, count[0] // 2, count[0]} - {0}):
        before = Snapshot(encoder.visual)
        with fault_at(encoder.visual, call):
            try:
                subject.extract(encoder, pixels)
            except PlantedError:
                pass
            else:
                raise CheckFailed("an exception inside the encoder was swallowed")
        changed = before.differences(Snapshot(encoder.visual))
        require(not changed, f"after an exception inside the encoder these stay changed: {', '.join(changed)}")


def refuses_in_words(subject: FeaturesSubject) -> None:
    """An unknown layer, or an encoder that it cannot read, is refused with an XtoolError that says why."""
    encoder = subject.setup.encoder()
    opaque = OpaqueEncoder(replace(encoder.info))
    for what, asked, layer in (("an unknown layer", encoder, "no.such.layer"), ("a strange image tower", opaque, None)):
        try:
            subject.extract(asked, two_scenes(encoder), layer)
        except XtoolError:
            continue
        except Exception as error:
            raise CheckFailed(
                f"{what} ends in {type(error).__name__}: {error}; raise xtool.errors.UsageError"
            ) from error
        require(layer is None, f"{what} was accepted")


def planted_evidence(subject: FeaturesSubject) -> None:
    """Maps change most where the image changes: orientation, token order and crop are right."""
    encoder = subject.setup.encoder()
    empty = _sound(subject, encoder, scene(encoder, {})).maps
    for x, y in PLACES:
        found = _sound(subject, encoder, scene(encoder, {"red": (x, y, x + 2, y + 2)})).maps
        change = (found - empty).abs().amax(dim=1)[0]
        at = peak(change, encoder.info.input_size)
        centre = CELL * (x + 1), CELL * (y + 1)
        where = f"a patch at (x, y) = {centre} of an image of 80×48 pixels"
        if at is None:
            require(False, f"{where} changes no map, or all places alike")
            return
        off = max(abs(at[0] - centre[0]), abs(at[1] - centre[1]))
        require(off <= ROOM, f"{where} changes the maps [h, w] = {list(change.shape)} at ({at[0]:.0f}, {at[1]:.0f})")


CHECKS = (
    shape_and_dtype,
    every_layer_can_be_read,
    embedding_is_the_encoders,
    batch_equals_singles,
    leaves_the_encoder_as_it_was,
    leaves_the_encoder_as_it_was_after_an_exception,
    refuses_in_words,
    planted_evidence,
)


def _sound(subject: FeaturesSubject, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
    found = subject.extract(encoder, pixels)
    if _wrong_shape(found, encoder, len(pixels)):
        raise NotApplicable("cannot be checked before shape_and_dtype passes")
    return found


def _wrong_shape(found: FeatureMaps, encoder: Encoder, images: int) -> str:
    maps, embedding = found.maps, found.embedding
    if maps.ndim != 4 or len(maps) != images or maps.dtype != torch.float32 or 0 in maps.shape:
        return f"maps must be [{images}, C, h, w] float32, not {list(maps.shape)} {maps.dtype}"
    wanted = (images, encoder.info.embed_dim)
    if tuple(embedding.shape) != wanted or embedding.dtype != torch.float32:
        return f"embedding must be {list(wanted)} float32, not {list(embedding.shape)} {embedding.dtype}"
    if not bool(maps.isfinite().all()):
        return "maps contain NaN or infinite values"
    if float((embedding.norm(dim=1) - 1).abs().max()) > 1e-3:
        return "embeddings are not of unit length"
    return ""


def _changed(subject: FeaturesSubject) -> list[str]:
    encoder = subject.setup.encoder()
    pixels = two_scenes(encoder)
    given = pixels.clone()
    before = Snapshot(encoder.visual)
    kept = subject.build()
    kept.extract(counted(encoder), pixels)
    changed = before.differences(Snapshot(encoder.visual))
    return changed if torch.equal(pixels, given) else [*changed, "the pixels it was given"]
