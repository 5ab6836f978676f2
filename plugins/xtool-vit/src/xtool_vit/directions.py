"""What every text shows, taken out of a text: the direction that a forward-only method compares patches with.

Patches that stand out do so for every text, and the cosine of a patch with two texts differs by little. A map of a
single text is therefore mostly what the maps of all texts have in common. The methods that made these maps let classes
compete for each patch; a single text has nobody to compete with, so a fixed set of texts, the same for every call,
stands for the others. Nothing here depends on the other texts of a call.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Encoder, Saliency, TokenStream, matches, prompts_for
from xtool_vit.config import Common, PatchConfig

_BANK = (
    "person, man, woman, child, face, hand, dog, cat, bird, fish, horse, cow, sheep, elephant, bear, snake, "
    "insect, flower, tree, leaf, fruit, vegetable, bread, cake, meat, bottle, cup, plate, bowl, knife, chair, "
    "table, bed, lamp, door, window, wall, floor, house, building, bridge, street, road, sign, car, bus, train, "
    "truck, bicycle, boat, airplane, clothes, hat, shoe, bag, book, clock, phone, computer, keyboard, ball, "
    "musical instrument, tool, toy, machine, furniture, grass, ground, sand, rock, mountain, sky, cloud, water, "
    "sea, river, snow, fire, light, text"
)
BANK = tuple(_BANK.split(", "))
"""Things and surroundings that most photographs show some of; each goes into xtool's own prompt."""
WEIGHT_SCALE = 2.0
"""On the cosines behind the weights of ``weighted``, as in CLIP Surgery."""


def directions(encoder: Encoder, embedding: Tensor, text: Tensor, common: Common) -> Tensor:
    """[B, T, D] the direction of each text in each image, less what every text shows; its length says how much is left.

    - ``keep``: t itself.
    - ``empty``: t − t₀, with t₀ the embedding of the empty text.
    - ``bank``: t less the mean of the texts in :data:`BANK`.
    - ``weighted``: w t less the mean of w t over t and the bank; w is the softmax of twice the image's cosines with
      these texts, over its mean.

    Args:
        encoder: embeds the texts that stand for all texts.
        embedding: [B, D] of the images, unit vectors.
        text: [T, D] unit vectors, or [B, T, D] where each image has its own.
        common: one of the above.

    Source: feature surgery of Li et al. 2023, CLIP Surgery, arXiv:2304.05653, where a data set's classes are the bank.
    """
    if common == "keep":
        return text.expand(len(embedding), -1, -1)
    if common == "empty":
        return (text - encoder.encode_text([""])).expand(len(embedding), -1, -1)
    bank = encoder.encode_text([prompts_for(name)[0] for name in BANK])
    if common == "bank":
        return (text - bank.mean(dim=0)).expand(len(embedding), -1, -1)
    own = (WEIGHT_SCALE * torch.stack(matches(embedding, text), dim=1)).exp()[..., None]  # [B, T, 1]
    others = (WEIGHT_SCALE * embedding @ bank.T).exp()  # [B, C]
    count = 1 + len(bank)
    mean_weight = (own + others.sum(dim=1)[:, None, None]) / count
    mean = (own * text + (others @ bank)[:, None]) / count
    return (own * text - mean) / mean_weight


def cosine_maps(stream: TokenStream, features: Tensor, towards: Tensor) -> Tensor:
    """[B, T, h, w]: the product of each patch's unit vector, from features [B, n, D], with directions [B, T, D]."""
    return stream.patches(towards @ F.normalize(features.float(), dim=-1).transpose(-2, -1))


def above_the_mean(maps: Tensor) -> Tensor:
    """Maps [B, T, h, w] less the mean of each, and zero below."""
    return (maps - maps.mean(dim=(-2, -1), keepdim=True)).relu()


def to_saliency(maps: Tensor, config: PatchConfig) -> Saliency:
    """The answer of a method that cannot tell whether a text is there."""
    return Saliency(above_the_mean(maps) if config.above_mean else maps, present=None)
