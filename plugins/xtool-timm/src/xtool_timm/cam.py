"""Classic class activation mapping (Zhou et al., CVPR 2016, equation 2)."""

from __future__ import annotations

from torch import Tensor

from xtool.plugin import Encoder, MethodConfig, Saliency, UsageError, read_maps
from xtool_timm.tower import ClassifierTower

__all__ = ["CAM", "require_classifier"]


class CAM:
    """Σ_c w_c F_c: the last feature maps, weighted by the classifier's weights of the class.

    The map's mean is the class's logit without its bias, up to the common length of the class vectors. There is no
    ReLU in the paper; negative evidence stays in the map.
    """

    def __init__(self, config: MethodConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. One forward pass, whatever the number of texts.

        Raises :class:`UsageError` as :func:`require_classifier` does.
        """
        tower = require_classifier(encoder)
        maps = read_maps(encoder, pixels, encoder.layer(tower.layers[-1])).maps
        heat = text[..., : maps.shape[1]].float() @ maps.flatten(2)
        return Saliency(heat.reshape(*heat.shape[:2], *maps.shape[2:]).detach(), present=None)


def require_classifier(encoder: Encoder) -> ClassifierTower:
    """The encoder's tower. Raises :class:`UsageError` if it is no classifier over averaged feature maps."""
    tower = encoder.visual
    if not isinstance(tower, ClassifierTower):
        raise UsageError(f"CAM needs a timm classifier, for example timm-resnet50; {encoder.info.name} is not one")
    if not encoder.info.pools_masks:
        raise UsageError(
            f"CAM needs a classifier that directly follows the averaged feature maps, and {encoder.info.name} "
            "computes something in between; gradcam and layercam work on it"
        )
    return tower
