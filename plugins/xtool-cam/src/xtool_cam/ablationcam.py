"""Ablation-CAM: activations weighted by how much the score drops when they are removed.

An ablated image's embedding does not depend on the text, so the passes are the same for any number of texts.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xtool.plugin import Encoder, Layer, Saliency, UsageError, gradient_layer, hooked, live_maps
from xtool_cam.config import AblationCAMConfig
from xtool_cam.scores import match_scores


class AblationCAM:
    """ReLU(Σ_c (s − s_c) A_c), with s_c the score without map c (Desai and Ramaswamy 2020, equation 2).

    The paper and pytorch-grad-cam divide the drop by s. For a positive score that scales the whole map and changes
    nothing; for a negative one, which a cosine can be, it would invert the map. So it is left out.
    """

    def __init__(self, config: AblationCAMConfig) -> None:
        self.config = config

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Costs 1 + C forward passes for any number of texts."""
        layer = gradient_layer(encoder, self.config.layer)
        outputs: list[Tensor] = []
        with hooked(layer.module, outputs.append):
            whole = match_scores(encoder, pixels, text, self.config.score)
        if len(outputs) != 1:
            raise UsageError(f"layer {layer.name} ran {len(outputs)} times in one forward pass; expected once")
        activations = layer.maps(outputs[0]).float()
        drops = torch.stack(
            [
                self._drops(encoder, pixels[index : index + 1], text, layer, activations[index], whole[index])
                for index in range(len(pixels))
            ]
        )
        maps = torch.einsum("btc,bchw->bthw", drops, activations).relu()
        return Saliency(maps, present=None)

    def _drops(
        self, encoder: Encoder, image: Tensor, text: Tensor, layer: Layer, activations: Tensor, whole: Tensor
    ) -> Tensor:
        """Drops [T, C] of the scores ``whole`` [T] of one image [1, 3, H, W], one per map of ``activations``."""
        drops = torch.zeros(len(text), len(activations), device=image.device)
        # A constant map tells no place from another, whatever its weight; it costs no pass.
        channels = live_maps(activations[None])[0].nonzero()[:, 0]
        for start in range(0, len(channels), self.config.batch):
            chunk = channels[start : start + self.config.batch]
            with hooked(layer.module, partial(self._ablated, layer, chunk)):
                without = match_scores(encoder, image.expand(len(chunk), -1, -1, -1), text, self.config.score)
            drops[:, chunk] = (whole - without).T
        return drops

    def _ablated(self, layer: Layer, channels: Tensor, output: Tensor) -> Tensor:
        """The layer's output with channel ``channels[i]`` of image i taken away, at every place and class token."""
        output = output.clone(memory_format=torch.contiguous_format)
        rows = layer.channels(output)  # a view
        value = torch.zeros(len(rows), 1, dtype=rows.dtype, device=rows.device)
        if self.config.ablate == "pgc":
            lowest = rows.amin(dim=(1, 2), keepdim=True)[:, :, 0]
            value = torch.where(lowest == 0, value, lowest - 1e7)
        rows[torch.arange(len(rows), device=rows.device), channels] = value
        return output
