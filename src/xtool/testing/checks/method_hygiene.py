"""Checks of what a method leaves behind, and of what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.contracts.layers import Layer
from xtool.contracts.protocols import Encoder, EncoderInfo, FeatureMaps
from xtool.engine.encoders import counted
from xtool.errors import UsageError, XtoolError
from xtool.testing.checks.method_subject import MethodSubject, usual, wrong_shape
from xtool.testing.planted import text_embedding
from xtool.testing.setups import Setup
from xtool.testing.snapshot import PlantedError, Snapshot, fault_at
from xtool.testing.verdict import CheckFailed, NotApplicable, require


def leaves_the_encoder_as_it_was(subject: MethodSubject) -> None:
    """Hooks, gradients, requires_grad and train/eval flags, weights and grad mode are the same afterwards."""
    changed = _changed(subject)
    require(not changed, f"explain changes, and does not restore: {', '.join(changed)}")


def leaves_the_encoder_as_it_was_after_an_exception(subject: MethodSubject) -> None:
    """The same when the encoder raises in the middle; and the exception is passed on."""
    if _changed(subject):
        raise NotApplicable("cannot be checked before leaves_the_encoder_as_it_was passes")
    encoder, pixels, text = usual(subject)
    with fault_at(encoder.visual, 0) as count:
        subject.explain(encoder, pixels, text)
    if not count[0]:
        raise NotApplicable("the method does not run the encoder")
    for call in sorted({1, count[0] // 4, count[0] // 2, 3 * count[0] // 4, count[0]} - {0}):
        encoder, pixels, text = usual(subject)
        before = Snapshot(encoder.visual)
        with fault_at(encoder.visual, call):
            try:
                subject.explain(encoder, pixels, text)
            except PlantedError:
                pass
            else:
                raise CheckFailed("an exception inside the encoder was swallowed")
        changed = before.differences(Snapshot(encoder.visual))
        require(not changed, f"after an exception inside the encoder these stay changed: {', '.join(changed)}")


def refuses_in_words(subject: MethodSubject) -> None:
    """An unknown layer, or an encoder that it cannot read, is refused with an XtoolError that says why."""
    encoder, pixels, text = usual(subject)
    if "layer" in type(subject.request.config).model_fields and "features" not in subject.spec.requires:
        problem = _refusal(subject, encoder, pixels, text, layer="no.such.layer")
        require(problem is not None, "the unknown layer no.such.layer was accepted")
    opaque = OpaqueEncoder(encoder.info)
    strange = replace(subject, setup=Setup(subject.setup.name, lambda *_: opaque, OpaqueFeatures))
    problem = _refusal(strange, opaque, pixels, text)
    require(
        problem is not None or "gradients" not in subject.spec.requires,
        "the method requires gradients, and took an encoder whose embedding has none without a word",
    )


HYGIENE_CHECKS = (
    leaves_the_encoder_as_it_was,
    leaves_the_encoder_as_it_was_after_an_exception,
    refuses_in_words,
)


class OpaqueEncoder:
    """An encoder whose image tower has none of the parts that methods know, and whose embedding has no gradient."""

    def __init__(self, info: EncoderInfo) -> None:
        self.info = replace(info, name="opaque")
        self.visual: nn.Module = nn.Flatten()
        self.device = torch.device("cpu")
        self.dtype = torch.float32

    def encode_image(self, pixels: Tensor) -> Tensor:
        with torch.no_grad():
            pooled = F.adaptive_avg_pool2d(pixels, 2).flatten(1)[:, : self.info.embed_dim]
            return F.normalize(pooled + 0.1, dim=1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return torch.stack([text_embedding(text) for text in texts])

    def layer(self, name: str) -> Layer:
        raise UsageError(f"the image tower of {self.info.name} has no layer that can be read")


class OpaqueFeatures:
    """Feature maps of the opaque encoder: the pixels themselves, in cells."""

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        with torch.no_grad():
            return FeatureMaps(F.avg_pool2d(pixels, 8), encoder.encode_image(pixels))


def _changed(subject: MethodSubject) -> list[str]:
    encoder, pixels, text = usual(subject)
    images, embeddings = pixels.clone(), text.clone()
    with torch.no_grad():
        before = Snapshot(encoder.visual)
        kept = subject.build(encoder)  # alive until the snapshot: who hooks must unhook before the object dies
        kept.explain(counted(encoder), pixels, text)
        changed = before.differences(Snapshot(encoder.visual))
    if not torch.equal(pixels, images) or not torch.equal(text, embeddings):
        changed.append("the pixels or the text embeddings it was given")
    return changed


def _refusal(subject: MethodSubject, encoder: Encoder, pixels: Tensor, text: Tensor, **options: str) -> str | None:
    """The words of the refusal; ``None`` for a sound answer. Raises :class:`CheckFailed` for anything else."""
    try:
        saliency = subject.explain(encoder, pixels, text, **options)
    except XtoolError as error:
        return str(error)
    except Exception as error:
        what = "an unknown layer" if options else "an encoder that it cannot read"
        raise CheckFailed(
            f"{what} ends in {type(error).__name__}: {error}; raise xtool.errors.UsageError instead"
        ) from error
    if wrong_shape(saliency, encoder, pixels, text):
        raise NotApplicable("cannot be checked before shape_and_dtype passes")
    return None
