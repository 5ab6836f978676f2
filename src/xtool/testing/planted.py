"""``PlantedCNN``: an encoder whose only evidence for a text is a colour, at a place that the test chose.

Its weights are set by hand. A text is a colour's name; the image tower has one detector per colour, and the embedding
is how much of each colour there is. So the map of "red" must peak where the test painted red, whatever the method: a
wrong transpose, channel order or crop cannot pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.contracts.layers import Layer, SpatialMaps
from xtool.contracts.protocols import EncoderInfo
from xtool.engine.layers import layer_name

COLOURS: dict[str, tuple[int, int, int]] = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
CELL = 8
"""Side of a feature-map cell, in pixels."""
DIMENSIONS = 8


class PlantedTower(nn.Module):
    """Colour detectors, average-pooled to cells: ``layer1`` [B, 6, h, w]; then their means, embedded."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(
            devices=[]
        ):  # what they start with is overwritten, and must not disturb the caller's
            self.layer1 = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.AvgPool2d(CELL))
            self.proj = nn.Linear(6, DIMENSIONS)
        with torch.no_grad():
            if seed is None:
                self._plant()
            else:
                generator = torch.Generator().manual_seed(seed)
                for parameter in self.parameters():
                    parameter.normal_(generator=generator)

    def _plant(self) -> None:
        convolution = self.layer1[0]
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        opponent = 1.5 * torch.eye(3) - 0.5  # a colour, minus half of each other one
        # The second half answers the same colours more weakly, so that no two channels are alike.
        convolution.weight.copy_(torch.cat([opponent, 0.3 * opponent])[:, :, None, None])
        convolution.bias.fill_(-0.2)
        self.proj.weight.copy_(colour_directions().T.repeat(1, 2) * 4.0)
        self.proj.bias.copy_(background_direction())

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, D], not normalised."""
        embedded: Tensor = self.proj(self.layer1(pixels).mean(dim=(2, 3)))
        return embedded


class PlantedEncoder:
    """What the planted encoders have in common: an image tower, and texts that name colours."""

    _visual: nn.Module
    _info: EncoderInfo

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def visual(self) -> nn.Module:
        return self._visual

    @property
    def device(self) -> torch.device:
        return next(self._visual.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self._visual.parameters()).dtype

    def encode_image(self, pixels: Tensor) -> Tensor:
        return F.normalize(self._visual(pixels), dim=1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return torch.stack([text_embedding(text) for text in texts])


class PlantedCNN(PlantedEncoder):
    """An :class:`xtool.plugin.Encoder` for 64×64 images; texts that name no colour get a vector of their own."""

    def __init__(self, input_size: tuple[int, int] = (64, 64), seed: int | None = None) -> None:
        self._visual = PlantedTower(seed).eval()
        self._info = EncoderInfo(
            name="planted-cnn",
            architecture="cnn",
            input_size=input_size,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            embed_dim=DIMENSIONS,
            patch_size=None,
            layers=("layer1",),
            default_layer="layer1",
            default_features="planted",
            weights="planted" if seed is None else f"random (seed {seed})",
            trained=seed is None,
        )

    _visual: PlantedTower

    @property
    def visual(self) -> PlantedTower:
        return self._visual

    def layer(self, name: str) -> Layer:
        return Layer(layer_name(self._info, name), self._visual.layer1, SpatialMaps())


def planted_image(
    patches: dict[str, tuple[int, int, int, int]], size: tuple[int, int] = (64, 64), background: int = 128
) -> Image.Image:
    """A grey image of ``size`` (width, height) with a patch (x0, y0, x1, y1) of each named colour."""
    width, height = size
    colours = np.full((height, width, 3), background, dtype=np.uint8)
    for colour, (x0, y0, x1, y1) in patches.items():
        colours[y0:y1, x0:x1] = COLOURS[colour]
    return Image.fromarray(colours)


def colour_directions() -> Tensor:
    """[3, D]: the direction of each colour."""
    return torch.eye(3, DIMENSIONS)


def background_direction() -> Tensor:
    """[D]: where an image of nothing points; at an equal, non-zero angle to every colour."""
    background = torch.zeros(DIMENSIONS)
    background[:4] = torch.tensor([0.1, 0.1, 0.1, 1.0])
    return background


def text_embedding(text: str) -> Tensor:
    """[D], unit norm: the direction of the first colour named in ``text``, or one of the text's own."""
    words = {word.strip(".,!?").lower() for word in text.split()}
    for row, colour in enumerate(COLOURS):
        if colour in words:
            return colour_directions()[row].clone()
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    away = torch.randn(DIMENSIONS, generator=torch.Generator().manual_seed(seed))
    away[:3] = -0.3  # nothing that the tower detects
    return F.normalize(away, dim=0)
