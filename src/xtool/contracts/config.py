"""Options as pydantic models: one schema feeds the command line, TOML files, the page, the docs and the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.protocols import EncoderInfo

AUTO = "auto"
"""Value of an option that the encoder decides."""

Device = str
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class MethodConfig(BaseModel):
    """Options of a saliency method. Subclass it, give every field a default and a ``Field(description=…)``."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Named sets of options, chosen by ``method:preset=name``; options given together with a preset override it."""
    deprecated_presets: ClassVar[dict[str, str]] = {}
    """Former names of presets, each with the present one; they still work, and warn."""

    flip: bool = Field(default=False, description="Average the map with that of the mirrored image: twice the passes.")
    refine: Literal["pamr", "caa", "caa+pamr"] | None = Field(
        default=None,
        description="Refine the map: pamr aligns it with edges in the picture, without a further pass; caa spreads it "
        "along a vision transformer's attention between patches, one pass more; caa+pamr does both.",
    )

    def resolved(self, encoder: EncoderInfo) -> Self:
        """These options with every ``auto`` by its name for this encoder, as a run's manifest records them.

        Override it if ``auto`` has a meaning of its own in the method.
        """
        return self

    def evidence_options(self) -> dict[str, Any] | None:
        """Of the resolved options those that ``Saliency.scores`` depend on: by default all of the method's own.

        A :class:`xtool.plugin.Calibration` is valid where they are the same. ``None`` says that these options decide
        what is present, and no calibration is used.
        """
        return self.model_dump(mode="json", exclude={"flip", "refine"})


class FeatureConfig(MethodConfig):
    """Options of a method that works on feature maps."""

    features: str = Field("auto", description="Feature extractor; auto takes the encoder's default.")
    features_from: str | None = Field(
        None,
        description="Another encoder that the features come from, to be judged by this one: NAME, or NAME@WEIGHTS with "
        "a tag, a checkpoint file or none; features and layer are then its own.",
    )
    layer: str = Field("auto", description="Layer that the features come from; auto takes the encoder's default.")
    pca: int | None = Field(
        None, ge=1, description="Reduce the features of each image to this many principal components."
    )
    clusters: int | None = Field(
        None, ge=1, description="Reduce the features of each image to this many sums of maps that look alike."
    )

    def resolved(self, encoder: EncoderInfo) -> Self:
        """With the encoder's default feature extractor and layer by name; those of another encoder stay as they are."""
        if self.features_from is not None:
            return self
        chosen = {
            "features": encoder.default_features if self.features == AUTO else self.features,
            "layer": encoder.default_layer if self.layer == AUTO else self.layer,
        }
        return self.model_copy(update=chosen)


class MaskConfig(FeatureConfig):
    """Options of a method that embeds an image under masks, :func:`xtool.plugin.embed_masked`."""

    mask_at: Literal["auto", "pixels", "pool", "fewest"] = Field(
        "auto",
        description="Where masks act: on the pixels, one pass for each mask, or where the encoder pools, one pass for "
        "all masks; fewest is the pool of every encoder that can, auto that of encoders where it has been measured to "
        "find no less.",
    )

    def masks_at(self, encoder: EncoderInfo) -> Literal["pixels", "pool"]:
        """Where masks act on this encoder. Raises :class:`UsageError` for a pool that cannot apply masks."""
        if self.mask_at == "auto":
            return encoder.default_mask_at
        if self.mask_at == "fewest":
            return "pool" if encoder.pools_masks else "pixels"
        if self.mask_at == "pool" and not encoder.pools_masks:
            raise UsageError(f"{encoder.name} cannot pool under a mask; use mask_at=pixels, or leave it out")
        return self.mask_at

    def resolved(self, encoder: EncoderInfo) -> Self:
        """Also with the place of the masks by name. Raises what :meth:`masks_at` raises."""
        return super().resolved(encoder).model_copy(update={"mask_at": self.masks_at(encoder)})


class EncoderOptions(BaseModel):
    """How an encoder is loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretrained: str | None = Field(
        None, description="Weights: a tag of the model, a path to a checkpoint, or none for random weights."
    )
    seed: int = Field(0, description="Seed of random weights.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    dtype: Dtype = Field("auto", description="Precision of forward passes without gradients; auto is float32.")
    compile: bool = Field(
        False, description="Compile the image tower for passes without gradients; a minute once, then faster."
    )
    cache_dir: str | None = Field(None, description="Folder for downloaded weights.")
    input_size: int | None = Field(
        None, ge=1, description="Side of the square image that the model is given, in pixels; by default its own."
    )
    classes: str | None = Field(None, description="File with the names of the classes of a classifier of one's own.")
