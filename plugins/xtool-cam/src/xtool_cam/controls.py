"""Controls: maps that know nothing of the text, or nothing at all. Only a number above theirs means something."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from xtool.plugin import Encoder, FeatureExtractor, Saliency
from xtool_cam.config import CenterConfig, MeanMapConfig, RandomConfig


class CenterBump:
    """The same Gaussian bump in the middle of every image: its boxes grow around the centre as the threshold falls."""

    def __init__(self, config: CenterConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Runs no forward pass."""
        grid = self.config.grid
        offset = (torch.arange(grid, device=pixels.device) + 0.5) / grid - 0.5  # cell centres, symmetric around 0
        profile = torch.exp(-0.5 * (offset / self.config.sigma) ** 2)
        return Saliency(torch.outer(profile, profile).repeat(len(pixels), text.shape[-2], 1, 1), present=None)


class RandomNoise:
    """White noise on a coarse grid that depends on the seed, the image and the text, and on nothing else.

    An image's pixels seed a noise map for each dimension of the embedding, and a text gets their sum weighted by its
    embedding. So an image's noise is the same alone and in a batch, different texts get different noise, and a text
    embedding that differs in its last bit (another batch, another device) changes the noise in its last bit only.
    """

    def __init__(self, config: RandomConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Runs no forward pass."""
        basis = torch.stack([self._noise(image, text.shape[-1]) for image in pixels])
        maps = text.detach().float().cpu() @ basis.flatten(2)
        return Saliency(maps.reshape(*maps.shape[:2], *basis.shape[2:]).to(pixels.device), present=None)

    def _noise(self, image: Tensor, dimensions: int) -> Tensor:
        """[D, grid, grid], drawn on the CPU so that it is the same on every device."""
        data = image.detach().float().cpu().contiguous().numpy().tobytes()
        digest = hashlib.blake2b(data, digest_size=7, salt=self.config.seed.to_bytes(8, "big", signed=True)).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
        return torch.randn(dimensions, self.config.grid, self.config.grid, generator=generator)


class MeanMap:
    """ReLU of the mean of all feature maps: what VL-Score, Score-CAM and CAM show if every map weighs the same."""

    def __init__(self, config: MeanMapConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Every text gets the same map."""
        maps = self.extractor.extract(encoder, pixels).maps.float().mean(dim=1, keepdim=True)
        return Saliency(maps.relu().repeat(1, text.shape[-2], 1, 1), present=None)
