"""EfficientNet-Lite0 in plain torch, with timm's names of modules and weights.

The same network as timm's ``tf_efficientnet_lite0``, which the tests hold it against. It is here because people wait
for the first answer: importing timm, and torchvision behind it, takes longer than all the rest of a start together.

Source: Tan and Le, EfficientNet, ICML 2019; the Lite variants have neither squeeze-and-excitation nor swish.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Lite0"]

STAGES = (
    # blocks, channels, kernel, stride, expansion
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)
STEM, HEAD, CLASSES = 32, 1280, 1000


class Lite0(nn.Module):
    """Pixels [B, 3, H, W], scaled to [-1, 1], to logits [B, classes], by default ImageNet's 1000."""

    pretrained_cfg: ClassVar = {"input_size": (3, 224, 224), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    feature_info: ClassVar = [{"module": f"blocks.{stage}"} for stage in (0, 1, 2, 4, 6)]
    """The last stage of each size."""
    num_features = HEAD

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.num_classes = classes
        self.conv_stem = SameConv(3, STEM, 3, stride=2)
        self.bn1 = _norm(STEM)
        stages, channels = [], STEM
        for count, out, kernel, stride, expansion in STAGES:
            blocks: list[nn.Module] = []
            for number in range(count):
                step = stride if number == 0 else 1
                if expansion == 1:
                    blocks.append(SeparableConv(channels, out, kernel))
                else:
                    blocks.append(InvertedResidual(channels, out, kernel, step, expansion))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(channels, HEAD, 1, bias=False)
        self.bn2 = _norm(HEAD)
        self.classifier = nn.Linear(HEAD, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Torch's own start shrinks activations from block to block, until all images embed alike.
                fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1] // module.groups
                nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [B, classes]."""
        logits: Tensor = self.classifier(self.forward_head(self.forward_features(pixels), pre_logits=True))
        return logits

    def forward_features(self, pixels: Tensor) -> Tensor:
        """The last maps [B, 1280, h, w]."""
        maps = self.blocks(F.relu6(self.bn1(self.conv_stem(pixels))))
        return F.relu6(self.bn2(self.conv_head(maps)))

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        """Their means [B, 1280], or the logits."""
        pooled = maps.mean(dim=(2, 3))
        return pooled if pre_logits else self.classifier(pooled)

    def get_classifier(self) -> nn.Linear:
        """The layer behind the pooling."""
        return self.classifier


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does it: by as much as the size needs, the odd pixel right and below.

    With a stride of 1 that is what torch does, which spares a copy.
    """

    def __init__(self, channels: int, out: int, kernel: int, *, stride: int, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            rows, columns = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in maps.shape[2:])
            maps = F.pad(maps, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(maps)


class SeparableConv(nn.Module):
    """One filter for each channel, then a mixture of channels."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = SameConv(channels, channels, kernel, stride=1, groups=channels)
        self.bn1 = _norm(channels)
        self.conv_pw = nn.Conv2d(channels, out, 1, bias=False)
        self.bn2 = _norm(out)

    def forward(self, maps: Tensor) -> Tensor:
        mixed: Tensor = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(maps)))))
        return mixed


class InvertedResidual(nn.Module):
    """Channels are expanded, filtered one by one, and reduced; the input is added where its shape is the output's."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.conv_pw = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn1 = _norm(wide)
        self.conv_dw = SameConv(wide, wide, kernel, stride=stride, groups=wide)
        self.bn2 = _norm(wide)
        self.conv_pwl = nn.Conv2d(wide, out, 1, bias=False)
        self.bn3 = _norm(out)
        self.adds = stride == 1 and channels == out

    def forward(self, maps: Tensor) -> Tensor:
        wide = F.relu6(self.bn1(self.conv_pw(maps)))
        reduced: Tensor = self.bn3(self.conv_pwl(F.relu6(self.bn2(self.conv_dw(wide)))))
        return reduced + maps if self.adds else reduced


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
