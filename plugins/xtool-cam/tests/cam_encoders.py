"""Small random encoders of both architectures, with images and texts for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import EncoderInfo, FeatureMaps, Layer, SpatialMaps, TokenGrid, layer_name

EMBED = 16


class TinyEncoder:
    """The least that the protocol asks for, around one image tower. Counts the images that it embeds."""

    def __init__(self, visual: nn.Module, info: EncoderInfo) -> None:
        self.visual = visual.eval()
        self.info = info
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.forwards = 0

    def encode_image(self, pixels: Tensor) -> Tensor:
        self.forwards += len(pixels)
        return F.normalize(self.visual(pixels.to(self.dtype)).float(), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        generator = torch.Generator().manual_seed(len("".join(texts)))
        return F.normalize(torch.randn(len(texts), EMBED, generator=generator), dim=-1)

    def layer(self, name: str) -> Layer:
        if self.info.architecture == "cnn":
            name = layer_name(self.info, name)
            return Layer(name, self.visual.get_submodule("avgpool" if name == "stem" else name), SpatialMaps())
        name = layer_name(self.info, name, also=[f"{layer}.ln_1" for layer in self.info.layers])
        module = self.visual.transformer.get_submodule(name.replace("blocks", "resblocks"))
        return Layer(name, module, TokenGrid(*self.visual.grid_size, 1, self.visual.transformer.batch_first))


class LastStage:
    """Feature extractor of a CNN's layer4, by open_clip's public call (independent of the plugin's hooks)."""

    def extract(self, encoder: Any, pixels: Tensor) -> FeatureMaps:
        found = encoder.visual.forward_intermediates(pixels, indices=[4])
        return FeatureMaps(found["image_intermediates"][0], F.normalize(found["image_features"], dim=-1))


def _info(**fields: Any) -> EncoderInfo:
    common = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "embed_dim": EMBED, "default_features": "", "weights": "random"}
    return EncoderInfo(**{**common, **fields})


def make_cnn(size: int = 96, layers: tuple[int, ...] = (1, 1, 1, 1), width: int = 8) -> TinyEncoder:
    torch.manual_seed(0)
    visual = ModifiedResNet(list(layers), output_dim=EMBED, heads=width // 2, image_size=size, width=width)
    for module in visual.modules():
        if isinstance(module, nn.BatchNorm2d):  # open_clip starts the last one of each block at zero: a dead branch
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return TinyEncoder(
        visual,
        _info(
            name="tiny-cnn",
            architecture="cnn",
            input_size=(size, size),
            patch_size=None,
            layers=("stem", "layer1", "layer2", "layer3", "layer4"),
            default_layer="layer4",
        ),
    )


def with_statistics(encoder: TinyEncoder) -> TinyEncoder:
    """A CNN whose batch norms have the statistics of images, so that masked images do not all embed alike.

    With the statistics of initialisation cosines of a random RN50 differ by 1e-6, any scores whatever give the same
    Score-CAM, and its values lie 1 % apart, so that the rounding of their sum shows once they are scaled to [0, 1].
    """
    norms = [module for module in encoder.visual.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over batches, and there is one
        norm.train()
    with torch.no_grad():
        encoder.visual(pixels_for(encoder, 16, seed=3))
    for norm in norms:
        norm.eval()
    return encoder


def make_vit(size: tuple[int, int] = (32, 48), blocks: int = 3, **options: Any) -> TinyEncoder:
    torch.manual_seed(0)
    visual = VisionTransformer(
        image_size=size, patch_size=8, width=32, layers=blocks, heads=4, mlp_ratio=2.0, output_dim=EMBED, **options
    )
    layers = tuple(f"blocks.{index}" for index in range(blocks))
    return TinyEncoder(
        visual,
        _info(
            name="tiny-vit",
            architecture="vit",
            input_size=size,
            patch_size=8,
            layers=layers,
            default_layer=layers[-1],
            gradient_layer=f"{layers[-1]}.ln_1" if options.get("pool_type", "tok") == "tok" else None,
        ),
    )


def pixels_for(encoder: TinyEncoder, count: int = 2, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, *encoder.info.input_size, generator=generator)


def texts_for(encoder: TinyEncoder, pixels: Tensor, count: int = 3) -> Tensor:
    """Unit text embeddings, the first of them close to the first image so that not all scores are negative."""
    text = torch.randn(count, encoder.info.embed_dim, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        text[0] = 0.5 * text[0] + 3 * F.normalize(encoder.visual(pixels[:1]).float(), dim=-1)[0]
    return F.normalize(text, dim=-1)
