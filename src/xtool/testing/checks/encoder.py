"""All checks of an encoder."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.contracts.protocols import PoolsMasks
from xtool.contracts.registry import registry
from xtool.engine.encoder_names import find_encoder
from xtool.engine.encoders import load_encoder
from xtool.engine.features import build_extractor
from xtool.errors import XtoolError
from xtool.testing.checks.encoder_layers import LAYER_CHECKS
from xtool.testing.checks.encoder_subject import EncoderSubject
from xtool.testing.checks.encoder_words import WORD_CHECKS
from xtool.testing.checks.spec import cases, spec_cases
from xtool.testing.compare_maps import same
from xtool.testing.snapshot import Snapshot
from xtool.testing.verdict import Case, CheckFailed, NotApplicable, require

TEXTS = ("an image of a dog.", "an image of a traffic light.")


def plan_encoder(name: str, pretrained: str | None) -> list[Case]:
    """Checks of the spec, then of the encoder with random weights, or with the given ones."""
    provided = find_encoder(name)
    spec = provided.spec
    if spec.is_prefix:  # it stands for encoders, and is none itself
        return spec_cases(provided.owner, spec)
    subject = EncoderSubject(name, pretrained)
    # Of a name behind a prefix, what the plugin lists is the prefix.
    prefixes = [item.spec for item in registry().encoders if item.spec.is_prefix]
    listed = next((prefix for prefix in prefixes if spec.name.startswith(prefix.name)), spec)
    return [*spec_cases(provided.owner, listed), *cases((*CHECKS, *LAYER_CHECKS, *WORD_CHECKS), subject)]


def info_is_coherent(subject: EncoderSubject) -> None:
    """The info names the encoder as asked for, its default layer is one of its layers, and its sizes make sense."""
    info = subject.encoder.info
    require(info.name in (subject.name, subject.name.rpartition(":")[2]), f"it calls itself {info.name!r}")
    require(info.default_layer in info.layers, f"the default layer {info.default_layer!r} is not among {info.layers}")
    require((info.patch_size is None) == (info.architecture == "cnn"), "a vit has a patch size and a cnn has none")
    require(min(info.input_size) > 0 and min(info.std) > 0, f"input_size {info.input_size}, std {info.std}")
    require(info.pools_masks or info.default_mask_at == "pixels", "default_mask_at is pool, but pools_masks is False")
    require(info.trained == (subject.pretrained is not None), f"trained is {info.trained} for weights {info.weights!r}")


def images_become_unit_vectors(subject: EncoderSubject) -> None:
    """encode_image returns finite float32 vectors [B, D] of unit length, and different ones for different images."""
    pixels = subject.pixels()
    pixels[1, :, ::2] = 2.0  # stripes, which even random weights tell from noise
    found = _embedded(subject, pixels)
    _require_unit_vectors(found, (2, subject.encoder.info.embed_dim))
    require(float((found[0] - found[1]).abs().max()) > 1e-5, "two images have the same embedding")


def texts_become_unit_vectors(subject: EncoderSubject) -> None:
    """encode_text returns finite float32 vectors [T, D] of unit length, without gradient, different for each text."""
    found = subject.encoder.encode_text(list(TEXTS))
    _require_unit_vectors(found, (2, subject.encoder.info.embed_dim))
    require(not found.requires_grad, "text embeddings are attached to a graph")
    require(not same(found[0], found[1]), "two texts have the same embedding")


def batch_equals_singles(subject: EncoderSubject) -> None:
    """An image, and a text, has the same embedding alone and in a batch."""
    pixels = subject.pixels()
    require(
        same(_embedded(subject, pixels)[:1], _embedded(subject, pixels[:1])),
        "an image's embedding changes with the batch",
    )
    encode = subject.encoder.encode_text
    require(
        same(encode(list(TEXTS))[1:], encode([TEXTS[1]])), "a text's embedding changes with the other texts of the call"
    )


def deterministic(subject: EncoderSubject) -> None:
    """Loading twice with one seed gives the same encoder, in eval mode, and disturbs no random numbers."""
    state = torch.get_rng_state()
    again = subject.load()
    require(torch.equal(state, torch.get_rng_state()), "loading disturbs the global random numbers")
    require(not any(part.training for part in again.visual.modules()), "the image tower is not in eval mode")
    with torch.no_grad():
        found = again.encode_image(subject.pixels())
    require(same(found, _embedded(subject, subject.pixels())), "loaded twice, it embeds the same image differently")


def images_are_differentiable(subject: EncoderSubject) -> None:
    """Gradients flow from the image embedding back to the pixels, as gradient methods need."""
    pixels = subject.pixels().requires_grad_()
    with torch.enable_grad():
        embedding = subject.encoder.encode_image(pixels)
        require(embedding.requires_grad, "the embedding has no gradient; do not embed under no_grad")
        (gradient,) = torch.autograd.grad(embedding[:, 0].sum(), pixels)
    require(bool(gradient.isfinite().all() and gradient.any()), "the gradient is zero or not finite")


def embedding_leaves_no_trace(subject: EncoderSubject) -> None:
    """Embedding changes neither weights nor flags."""
    before = Snapshot(subject.encoder.visual)
    _embedded(subject, subject.pixels())
    changed = before.differences(Snapshot(subject.encoder.visual))
    require(not changed, f"encode_image changes, and does not restore: {', '.join(changed)}")


def default_features_fit(subject: EncoderSubject) -> None:
    """The feature extractor that it names as its default is installed, and reads its default layer."""
    encoder = subject.encoder
    with torch.no_grad():
        found = build_extractor("auto", "auto", None, encoder.info).extract(encoder, subject.pixels())
    require(found.maps.ndim == 4 and len(found.maps) == 2, f"it gives {list(found.maps.shape)}, not [B, C, h, w]")
    own = F.normalize(
        _embedded(subject, subject.pixels()), dim=1
    )  # that the length is right is another check's business
    require(same(F.normalize(found.embedding, dim=1), own), "its embedding is not encode_image's")


def pools_under_masks(subject: EncoderSubject) -> None:
    """Pooled under a mask of ones, an image has its own embedding; under zeros that of nothing; under halves others."""
    encoder, pixels = subject.encoder, subject.pixels()
    if not encoder.info.pools_masks:
        raise NotApplicable("the encoder takes no masks where it pools")
    masks = torch.zeros(2, 4, 4, 6)
    masks[:, 0] = 1.0
    masks[:, 1, :, :3] = 1.0
    masks[:, 2, :, 3:] = 1.0
    with torch.no_grad():
        found = cast("PoolsMasks", encoder).encode_pooled(pixels, masks)
        alone = cast("PoolsMasks", encoder).encode_pooled(pixels[1:], masks[1:, 1:2])
    for image in found:
        # An embedding that is a mean itself is zero where nothing is pooled.
        seen = image if bool(image[3].any()) else image[:3]
        _require_unit_vectors(seen, (len(seen), encoder.info.embed_dim))
    difference = float((found[:, 0] - _embedded(subject, pixels)).abs().max())
    require(difference < 1e-5, f"under a mask of ones an embedding is off encode_image by {difference:.1e}")
    require(same(found[0, 3], found[1, 3]), "two images of which nothing is pooled have different embeddings")
    require(not torch.equal(found[:, 1], found[:, 2]), "the two halves of an image have the same embedding")
    require(same(alone[0, 0], found[1, 1]), "an embedding changes with the other images and masks of the call")


def refuses_in_words(subject: EncoderSubject) -> None:
    """A device and weights that do not exist are refused with an XtoolError."""
    wrong: dict[str, dict[str, str | None]] = {
        "the device cuda:99": {"device": "cuda:99", "pretrained": subject.pretrained},
        "the weights no-such-tag": {"device": "cpu", "pretrained": "no-such-tag"},
    }
    for what, options in wrong.items():
        try:
            load_encoder(subject.name, **options)  # type: ignore[arg-type]
        except XtoolError:
            continue
        except Exception as error:
            raise CheckFailed(
                f"{what} ends in {type(error).__name__}: {error}; raise an xtool.errors.XtoolError"
            ) from error
        require(False, f"{what} was accepted")


CHECKS = (
    info_is_coherent,
    images_become_unit_vectors,
    texts_become_unit_vectors,
    batch_equals_singles,
    deterministic,
    images_are_differentiable,
    embedding_leaves_no_trace,
    default_features_fit,
    pools_under_masks,
    refuses_in_words,
)


def _embedded(subject: EncoderSubject, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return subject.encoder.encode_image(pixels)


def _require_unit_vectors(found: Tensor, shape: tuple[int, int]) -> None:
    require(
        tuple(found.shape) == shape and found.dtype == torch.float32,
        f"{list(found.shape)} {found.dtype}, not {list(shape)} float32",
    )
    require(bool(found.isfinite().all()), "embeddings contain NaN or infinite values")
    require(float((found.norm(dim=1) - 1).abs().max()) < 1e-3, "embeddings are not of unit length")
