"""The protocols that plugins implement, and the small data classes that they exchange.

Read in this order to follow one image: ``Dataset`` → ``Sample`` → ``Encoder`` → ``FeatureExtractor`` →
``SaliencyMethod`` → ``Saliency``. Importing this module imports neither torch nor numpy.

Notation for shapes: B images, T texts, C feature maps, D embedding dimensions, H×W the model's input size,
h×w the size of a feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from xtool.contracts.specs import Architecture

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

    from xtool.contracts.layers import Layer

__all__ = [
    "Calibration",
    "Dataset",
    "Encoder",
    "EncoderInfo",
    "ExplainsWords",
    "FeatureExtractor",
    "FeatureMaps",
    "PoolsMasks",
    "Saliency",
    "SaliencyMethod",
    "Sample",
    "Understanding",
    "UnderstandsTexts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One question to a data set: an image, the thing to look for, and where it truly is.

    An image with several kinds of things yields several samples.
    """

    id: str
    """Unique in its data set and stable from run to run; a relative path, or ``path#label``."""
    open: Callable[[], Image.Image]
    """Decodes the image: RGB, upright (EXIF applied). Raises :class:`xtool.plugin.DataError`."""
    label: str
    """What to look for, as people say it: ``"dog"``."""
    synonyms: tuple[str, ...]
    """All names of the label, ``label`` first."""
    boxes: NDArray[np.float64]
    """[N, 4] half-open ``(x0, y0, x1, y1)`` in pixels of the opened image, one row per true instance."""
    class_index: int | None = None
    """Row of ``Dataset.classes``; ``None`` where the data set has no closed set of classes."""
    absent: str | None = None
    """Something that is certainly not in the image, for presence accuracy."""
    distractor: str | None = None
    """Something else that is in the image, for the text-swap control."""
    open_mask: Callable[[], NDArray[np.bool_] | NDArray[np.uint8]] | None = None
    """Decodes the true mask [height, width] of the label's instances, where there is one: bool, or uint8 with 0, 1, and
    255 for pixels that are neither object nor background. Raises :class:`xtool.plugin.DataError`."""


@runtime_checkable
class Dataset(Protocol):
    """Samples in a fixed order. ``__getitem__`` raises :class:`xtool.plugin.DataError` for an unusable sample."""

    @property
    def name(self) -> str:
        """The name with its split, for example ``"scenes:test"``."""
        ...

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        """Names of each class, synonyms after the first; empty where there is no closed set."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def fingerprint(self) -> str:
        """A short hash of what the samples are (ids, labels, boxes), without decoding every image."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How much evidence (``Saliency.scores``) makes a text present for one method on one encoder.

    Make it on data that no results are reported on: ``xtool calibrate``. Raises :class:`ValueError` where
    ``absent_below <= bar <= present_above`` does not hold.
    """

    method: str
    """The method's name."""
    bar: float
    """The text counts as present above this: the one verdict that is scored."""
    absent_below: float
    """Up to this evidence people read "absent", and between this and ``present_above`` "unsure"."""
    present_above: float
    """From this evidence on people read "present"."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The method's options behind the evidence, where they differ from its defaults. With other options it does
    not apply: see :meth:`xtool.plugin.MethodConfig.evidence_options`."""

    def __post_init__(self) -> None:
        if not self.absent_below <= self.bar <= self.present_above:
            raise ValueError(
                f"absent_below {self.absent_below}, bar {self.bar} and present_above {self.present_above} must ascend"
            )

    def unsure(self, evidence: float) -> bool:
        """Whether such evidence is found for true and absent texts alike."""
        return self.absent_below < evidence < self.present_above


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderInfo:
    """What the rest of the program must know of an encoder."""

    name: str
    architecture: Architecture
    input_size: tuple[int, int]
    """Height and width in pixels."""
    mean: tuple[float, float, float]
    """Per-channel mean that is subtracted from pixels in [0, 1]."""
    std: tuple[float, float, float]
    embed_dim: int
    patch_size: int | None
    """Side of a patch in pixels; ``None`` for a CNN."""
    layers: tuple[str, ...]
    """Names that feature extractors accept as ``layer``, from input to output."""
    default_layer: str
    """The layer that feature extractors read when none is asked for."""
    default_features: str
    """Name of the feature extractor that suits this encoder when none is asked for."""
    weights: str
    """Where the weights come from: a pretrained tag, a file name, or ``"random (seed 0)"``."""
    weights_sha256: str | None = None
    gradient_layer: str | None = None
    """The layer that gradient methods read when none is asked for: the deepest whose positions all still reach the
    embedding; ``None`` where that is ``default_layer``. It need not be among ``layers``."""
    logit_scale: float = 100.0
    """Factor on cosine similarities in the model's own softmax over texts."""
    calibrations: tuple[Calibration, ...] = ()
    """How much evidence makes a text present, by method; the first calibration that fits is used."""
    trained: bool = True
    """``False`` for random weights, which results must point out."""
    pools_masks: bool = False
    """Whether the encoder is one that :class:`PoolsMasks`."""
    default_mask_at: Literal["pixels", "pool"] = "pixels"
    """Where masks act when nobody says: at the ``pool`` where that has been measured to find no less."""


@runtime_checkable
class Encoder(Protocol):
    """An image–text model with one joint embedding space, in eval mode."""

    @property
    def info(self) -> EncoderInfo: ...

    @property
    def visual(self) -> nn.Module:
        """The image tower, for feature extractors and gradient methods."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype:
        """The precision of passes without gradient.

        Under ``torch.inference_mode()`` the encoder sees to that itself; in others the program has a float32 tower
        compute in it (:func:`xtool.loading.half_precision`).
        """
        ...

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed float32 normalised pixels [B, 3, H, W] as unit vectors [B, D], float32, differentiable."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors [T, D], float32, without gradient."""
        ...

    def layer(self, name: str) -> Layer:
        """Describe a layer of the image tower: one of ``info.layers``, ``info.gradient_layer``, or any other that it
        knows; ``"auto"`` is ``info.default_layer``.

        Raises :class:`xtool.plugin.UsageError` for a layer that does not exist or that it cannot describe.
        """
        ...


_SHOWN_CLASSES = 5
_TITLE_CLASSES = 2


@dataclass(frozen=True, slots=True)
class Understanding:
    """What a text was taken for, or why it was taken for nothing."""

    text: str
    known: bool
    nearest: tuple[tuple[str, float], ...] = ()
    """Names of all classes that stand for the text, with weights that sum to 1, largest first; empty if unknown."""
    taken_for: tuple[str, ...] = ()
    """The words that were looked up: ``("fox",)`` for "two foxes", ``("cat", "dog")`` for "a cat and a dog"."""
    reason: str = ""
    """Why the text is unknown, for people."""

    def message(self) -> str:
        """One sentence for people."""
        if not self.known:
            return f"{self.text!r} is not known: {self.reason}"
        more = len(self.nearest) - _SHOWN_CLASSES
        return f"{self.text!r} is taken for {' and '.join(self.taken_for)}: {self.classes(_SHOWN_CLASSES)}" + (
            f" and {more} more" if more > 0 else ""
        )

    def brief(self) -> str:
        """A few words for the title of a picture: the classes with most weight, or why there are none."""
        return f"taken for {self.classes(_TITLE_CLASSES)}" if self.known else f"not known: {self.reason}"

    def classes(self, count: int) -> str:
        """The first classes with their weights in per cent; of hundreds, which have none to speak of, the names."""
        return ", ".join(f"{name} {weight:.0%}" if weight >= 0.005 else name for name, weight in self.nearest[:count])


@runtime_checkable
class UnderstandsTexts(Protocol):
    """An :class:`Encoder` that also knows which texts mean something to it.

    CLIP embeds any text, even nonsense. An encoder with a finite vocabulary can say what it takes a text for, and
    that it does not know one; such a text is then shown as not understood, whatever the method's verdict.
    """

    def understand(self, texts: Sequence[str]) -> Sequence[Understanding]:
        """What each text, prompt included, was taken for."""
        ...


@runtime_checkable
class ExplainsWords(Protocol):
    """An :class:`Encoder` that can look inside its text tower for the words of a text that mattered.

    None is needed for what a text loses when a word is left out, which every encoder can say. This is for methods by
    gradients and attention.
    """

    @property
    def word_methods(self) -> tuple[str, ...]:
        """Their names, for ``explain --words NAME``; ``"removal"`` is the core's own."""
        ...

    def word_relevance(
        self, text: str, spans: Sequence[tuple[int, int]], direction: Tensor, method: str
    ) -> Sequence[float]:
        """How much each word of a text moves its unit embedding e along a direction: relevance to ``direction · e``.

        Args:
            text: as ``encode_text`` takes it, prompt included.
            spans: [W] half-open, in characters: the words that are asked about, in the order of the text.
            direction: [D] float32, of any length.
            method: one of ``word_methods``.

        Returns:
            [W] signed; 0 for a word that the model no longer reads, because the text is too long.

        Raises :class:`xtool.plugin.UsageError` for a text tower that the method cannot look into.
        """
        ...


class PoolsMasks(Encoder, Protocol):
    """An :class:`Encoder` with ``info.pools_masks``, which can also leave out parts of the image where it pools.

    Masks on pixels cost a pass each, and show the model pictures unlike any that it has seen. Where an embedding is
    pooled from the places of an image, by a mean or by attention, a mask can act on what is pooled instead: one pass,
    whatever the number of masks. What the places hold then still comes from the whole image.
    """

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Embed B images, each pooled under N masks.

        A mask of ones gives ``encode_image``. A mask of zeros gives the embedding of nothing, the same for all images:
        what the tower makes of a mean that is zero, of an attention to no place at all, or of a class token that sees
        no patch. Of a tower that ends in the mean itself it is zero, which is like no text.

        The pass may be made in ``dtype`` (:func:`xtool.loading.half_precision`). What is pooled should be float32, or
        masks that differ little cannot be told apart.

        Args:
            pixels: [B, 3, H, W] float32, normalised.
            masks: [B, N, h, w] in [0, 1], of any h×w; resized to that of the places that are pooled.

        Returns:
            [B, N, D] unit vectors, or zero where nothing is pooled, float32.
        """
        ...


@dataclass(frozen=True, slots=True)
class FeatureMaps:
    """Intermediate activations of B images as spatial maps."""

    maps: Tensor
    """[B, C, h, w] float32, signed and unscaled; h×w has the input's orientation: row 0 is the top.

    Where gradients flow, the very tensor that the embedding was computed from if there is one, in the tower's dtype.
    """
    embedding: Tensor
    """[B, D] float32, unit norm: ``encode_image`` of the same pixels, from the same forward pass."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Reads intermediate activations of an encoder, and leaves the encoder as it was found."""

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """Run the image tower once on float32 normalised pixels [B, 3, H, W], on the encoder's device.

        Raises :class:`xtool.plugin.UsageError` for an architecture or a layer that it cannot read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Saliency:
    """Where B images show each of T texts."""

    maps: Tensor
    """[B, T, h, w] float32, raw: finite, not normalised, not resized; larger is more salient."""
    present: Tensor | None
    """[B, T] bool: whether the method finds the text in the image at all; ``None`` from methods that cannot tell."""
    scores: Tensor | None = None
    """[B, T] float32: the evidence behind ``present``, larger is more; ``None`` from methods that have none.

    It is the method's own measure, whatever calibrations the encoder has, so that they can be made from it."""


@runtime_checkable
class SaliencyMethod(Protocol):
    """Explains where an encoder sees a text in an image."""

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """Map float32 normalised pixels [B, 3, H, W] and unit text embeddings [T, D] to a :class:`Saliency`.

        A method whose spec says ``own_texts`` also takes texts [B, T, D], those of each image its own.

        T texts at once must equal T calls with one text each, and B images B calls with one image each, up to float
        rounding. The encoder is left as it was found.
        """
        ...
