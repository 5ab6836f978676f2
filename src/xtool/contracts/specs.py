"""What a plugin says about each thing that it contributes: plain data, with import strings instead of objects.

Import strings (``"package.module:attribute"``) keep listing cheap: nothing that needs torch is imported until
the thing itself is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["cnn", "vit"]
Requirement = Literal["gradients", "features"]

PHOTOGRAPHS = "photographs"
"""What a picture shows if nothing else is known, such as a user's own."""

ALL_ARCHITECTURES: tuple[Architecture, ...] = ("cnn", "vit")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """An image–text model that can be loaded by name.

    ``factory`` is called as ``factory(name, options)`` with an :class:`xtool.plugin.EncoderOptions` and returns
    an :class:`xtool.plugin.Encoder`.
    """

    name: str
    """What users type. A name that ends in a colon is a prefix: the spec loads every name that begins with it, such as
    ``hf-hub:ORG/NAME``, and its factory is called with the whole."""
    factory: str
    summary: str
    paper: str = ""
    default_pretrained: str | None = None
    """The weights tag used when the user names none; ``None`` where a tag must be given."""
    family: str = ""
    """What ``xtool encoders`` lists it under, with similar encoders; its own name if empty."""
    knows: str = ""
    """What it was trained on: ``"photographs"``, ``"pictograms"``, in the words of :attr:`DatasetSpec.shows`; empty
    if that is unknown."""
    parameters: int | None = None
    """How many weights it has, both towers together."""
    own_classes: bool = False
    """Whether it is a classifier that :attr:`EncoderOptions.classes <xtool.plugin.EncoderOptions>` can name the classes
    of."""
    on_disk: str = ""
    """Import string of a function that is called with the name and returns whether the default weights are on this
    machine; empty if that is unknown. It is called for listings, so it must be quick and use no network."""
    suggested: int = 0
    """Rank among the defaults, taken when the user names none: the highest of those that know what is shown. 0 is never
    taken unasked."""
    claims: str = ""
    """For a prefix: import string of a function that is called with :class:`xtool.loading.ModelFiles`, where a user
    names a folder or a repository (``ORG/NAME``) without any prefix, and returns whether this spec loads it."""

    @property
    def is_prefix(self) -> bool:
        """Whether it stands for every name that begins with its own."""
        return self.name.endswith(":")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureExtractorSpec:
    """A way to read feature maps from an encoder.

    ``factory`` is called as ``factory(layer)`` (a layer name, or ``None`` for the encoder's default layer) and
    returns an :class:`xtool.plugin.FeatureExtractor`.
    """

    name: str
    factory: str
    summary: str
    architectures: tuple[Architecture, ...] = ALL_ARCHITECTURES
    paper: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaliencyMethodSpec:
    """A saliency method.

    ``factory`` is called as ``factory(config)`` or, when ``"features"`` is required, ``factory(config, extractor)``,
    and returns an :class:`xtool.plugin.SaliencyMethod`. ``config`` names a subclass of
    :class:`xtool.plugin.MethodConfig` (:class:`xtool.plugin.FeatureConfig` when ``"features"`` is required).
    """

    name: str
    factory: str
    config: str
    summary: str
    paper: str = ""
    requires: frozenset[Requirement] = frozenset()
    architectures: tuple[Architecture, ...] = ALL_ARCHITECTURES
    check_encoder: str = ""
    """Import string of a function that is called with a loaded :class:`xtool.plugin.Encoder` and raises
    :class:`xtool.plugin.UsageError` where the method cannot explain it, whatever the options; empty if it works on
    every encoder of ``architectures``. Whoever offers methods asks it, so it must be quick and run no model."""
    own_texts: bool = False
    """Whether ``explain`` also takes texts [B, T, D], each image's own. The core asks a method that does about many
    images at once, and any other about one image after the other."""
    forwards: str = "1"
    """Images through the encoder for one image, in words: ``"1"``, ``"2 + C"`` with C the number of feature maps."""
    box_threshold: float = 0.15
    """Fraction of a map's maximum at which boxes are drawn by default. Choose it on photographs that
    no results are reported on."""
    suggested: int = 0
    """Rank among the defaults, taken when the user names none: the highest for one image, all in descending order for a
    comparison. 0 is never a default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A data set with boxes.

    ``factory`` is called as ``factory(data_dir, split)``, both ``None`` when not given, and returns an
    :class:`xtool.plugin.Dataset`.
    """

    name: str
    factory: str
    summary: str
    splits: tuple[str, ...] = ()
    """The first is the default."""
    needs_data_dir: bool = True
    shows: str = PHOTOGRAPHS
    """What its pictures are, in the words of :attr:`EncoderSpec.knows`."""
    paper: str = ""
    suggested: int = 0
    """Rank among the defaults, taken when the user names none: the highest. 0 is never a default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A command of the ``xtool`` program: ``xtool NAME``.

    ``command`` names a :class:`click.Command`, which is imported when it runs.
    """

    name: str
    command: str
    summary: str
    """One line for ``xtool --help``."""


Spec = EncoderSpec | FeatureExtractorSpec | SaliencyMethodSpec | DatasetSpec | CommandSpec
