"""From a layer's name to its module in the image tower, and from its output to spatial maps."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from torch import Tensor, nn

from xtool.plugin import Encoder, UsageError

BLOCK = re.compile(r"blocks\.(\d+)(\.ln_1)?")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image tower whose output has a place for each part of the image."""

    name: str
    module: nn.Module
    patch_size: int | None = None
    """Side of a patch in pixels; ``None`` where the output is [B, C, h, w] already."""
    batch_first: bool = True
    """Whether tokens come as [B, L, C], otherwise as [L, B, C]."""

    def maps(self, output: Tensor, pixels: Tensor) -> Tensor:
        """The layer's output, or a gradient of its shape, as [B, C, h, w], without the class token.

        Raises:
            UsageError: the output cannot be laid out over ``pixels`` [B, 3, H, W].
        """
        if self.patch_size is None:
            if output.ndim != 4 or len(output) != len(pixels):
                raise UsageError(f"layer {self.name} gives {list(output.shape)}, not spatial maps [B, C, h, w]")
            return output
        height, width = pixels.shape[-2] // self.patch_size, pixels.shape[-1] // self.patch_size
        tokens = self._tokens(output) if output.ndim == 3 else None
        if tokens is None or len(tokens) != len(pixels) or tokens.shape[1] - height * width not in (0, 1):
            raise UsageError(
                f"layer {self.name} gives {list(output.shape)}; expected {height}×{width} patch tokens for each of "
                f"{len(pixels)} images, with at most a class token before them"
            )
        patches = tokens[:, tokens.shape[1] - height * width :]
        # Patches are in row-major order, so the grid's width varies fastest; a square grid would hide a mistake here.
        return patches.transpose(1, 2).reshape(len(patches), -1, height, width)

    def class_token(self, output: Tensor, pixels: Tensor) -> Tensor | None:
        """[B, C] part of the output that belongs to no place in the image, where there is one."""
        if self.patch_size is None:
            return None
        places = (pixels.shape[-2] // self.patch_size) * (pixels.shape[-1] // self.patch_size)
        tokens = self._tokens(output)
        return tokens[:, 0] if tokens.shape[1] == places + 1 else None

    def rows(self, output: Tensor) -> Tensor:
        """A view of the output as [B, C, places], class token included, that can be written to."""
        return output.flatten(2) if self.patch_size is None else self._tokens(output).transpose(1, 2)

    def _tokens(self, output: Tensor) -> Tensor:
        return output if self.batch_first else output.transpose(0, 1)


def find_layer(encoder: Encoder, name: str) -> Layer:
    """The layer called ``name`` (``"auto"``: the one that suits gradient methods) of an encoder's image tower.

    Raises:
        UsageError: no such layer, or an image tower that is built in another way than open_clip's own.
    """
    info = encoder.info
    if name == "auto":
        # A ViT's class token reads the patch tokens through the last block's attention for the last time. Its
        # normalised input (ln_1) is thus the deepest tensor whose patch tokens still have an effect.
        name = info.default_layer if info.architecture == "cnn" else f"blocks.{_blocks(info.layers) - 1}.ln_1"
    known = [*info.layers, *(f"{layer}.ln_1" for layer in info.layers if BLOCK.fullmatch(layer))]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(known)}"
        raise UsageError(f"{info.name} has no layer {name!r}; {hint}")
    try:
        return _token_layer(encoder, name) if info.architecture == "vit" else _spatial_layer(encoder, name)
    except (AttributeError, IndexError) as error:
        raise UsageError(
            f"the CAM methods that hook a layer know open_clip's ModifiedResNet and VisionTransformer, and do not find "
            f"{name} in {info.name}'s {type(encoder.visual).__name__}; methods on feature maps (vlscore, scorecam, "
            f"eigencam) may work"
        ) from error


def _spatial_layer(encoder: Encoder, name: str) -> Layer:
    # The stem is a method of open_clip's ModifiedResNet, not a module; average pooling is its last step.
    return Layer(name, encoder.visual.get_submodule("avgpool" if name == "stem" else name))


def _token_layer(encoder: Encoder, name: str) -> Layer:
    transformer = encoder.visual.get_submodule("transformer")
    module = transformer.get_submodule(name.replace("blocks", "resblocks", 1))
    return Layer(name, module, encoder.info.patch_size, bool(getattr(transformer, "batch_first", True)))


def _blocks(layers: tuple[str, ...]) -> int:
    return sum(BLOCK.fullmatch(layer) is not None for layer in layers)
