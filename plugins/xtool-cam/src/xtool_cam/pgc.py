"""Any class of pytorch-grad-cam as a text-conditioned method.

The class is given a model whose outputs are scores of texts, and whose target layer is an identity through which the
maps of the encoder's layer pass. So the class sees what a CNN would show it, whatever the tower is, and places
no hooks in the tower.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from xtool.plugin import Encoder, Layer, Saliency, SetupError, UsageError, gradient_layer, hooked
from xtool_cam.config import PGCConfig, Score
from xtool_cam.scores import match_scores

REFUSED = {
    "FullGrad": "adds up the biases of all layers of a network, and has no layer to explain",
    "GuidedBackpropReLUModel": "explains pixels, not a layer, and puts other activations into the model",
    "DeepFeatureFactorization": "factorises features without looking at a text; eigencam is similar",
    "RandomCAM": "draws from the global random numbers, so that no run could be repeated; use the method random",
    "RefineCAM": "multiplies the maps of several layers, and here there is one",
    "SESS": "explains crops of many sizes, and an encoder has one input size",
}
"""Classes that cannot explain one layer for a text, and why."""


class PytorchGradCAM:
    """The class ``pytorch_grad_cam.<name>``, or a subclass of its ``BaseCAM`` that an import string names.

    The map is the class's own, before it is scaled and resized. FinerCAM compares a text with the texts in ``against``
    and explains the difference of their scores, so that what the compared texts share with it cancels out. They come
    from the options and not from the other texts of a call: T texts at once must be T texts alone.
    """

    def __init__(self, config: PGCConfig) -> None:
        self.config = config
        self._class = find_class(config.name)

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Costs a forward and a backward pass for each text, or what
        the class needs."""
        layer = gradient_layer(encoder, self.config.layer)
        compared = self._compared(encoder, text)
        with torch.inference_mode(False), torch.enable_grad(), _frozen(encoder.visual):
            # Clones: what was made in inference mode cannot be saved for backward.
            images, wanted = pixels.detach().clone(), text.detach().clone()
            maps = [
                self._explain(_Scores(encoder, layer, torch.cat([one, compared]), self.config.score), images)
                for one in wanted[:, None]
            ]
        return Saliency(torch.stack(maps, dim=1).to(pixels.device), present=None)

    def _compared(self, encoder: Encoder, text: Tensor) -> Tensor:
        """Embeddings [K, D] of the texts that FinerCAM compares with; none for other classes."""
        if not self._compares:
            return text.new_zeros(0, text.shape[1])
        return encoder.encode_text([one.strip() for one in self.config.against.split("|")]).to(text).clone()

    @property
    def _compares(self) -> bool:
        from pytorch_grad_cam import FinerCAM

        return issubclass(self._class, FinerCAM)

    def _explain(self, model: _Scores, pixels: Tensor) -> Tensor:
        """[B, h, w] of the first of the model's texts, on the CPU."""
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, FinerWeightedTarget

        others = list(range(1, len(model.text)))
        target = FinerWeightedTarget(0, others, self.config.alpha) if self._compares else ClassifierOutputTarget(0)
        cam = self._class(model, [model.tap])
        base = getattr(cam, "base_cam", cam)  # FinerCAM wraps another class
        found: list[Any] = []
        formula = base.get_cam_image

        def noted(*args: Any, **options: Any) -> Any:
            found.append(formula(*args, **options))
            return found[-1]

        base.get_cam_image = noted
        try:
            # ShapleyCAM differentiates twice, which the fused attention kernels cannot.
            with sdpa_kernel(SDPBackend.MATH):
                cam(pixels.requires_grad_(), [target] * len(pixels))
        finally:
            del base.get_cam_image  # with the hooks, what would keep the graph alive in a circle
            kept = base.activations_and_grads
            kept.activations, kept.gradients = [], []  # else they are detached in place, which views refuse
            kept.release()
        if len(found) != 1:
            raise UsageError(
                f"pgc:name={self.config.name} computes {len(found)} maps in its get_cam_image; pgc takes classes that "
                "compute one, from one layer"
            )
        heat = np.nan_to_num(np.asarray(found[0], dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        return torch.from_numpy(heat).relu()


class _Scores(nn.Module):
    """Pixels [B, 3, H, W] to scores [B, K] of texts [K, D]; the layer's maps pass through ``tap``."""

    def __init__(self, encoder: Encoder, layer: Layer, text: Tensor, score: Score) -> None:
        super().__init__()
        self.tap: nn.Module = nn.Identity()
        self.anchor = nn.Parameter(torch.zeros(1, device=encoder.device))  # tells pytorch-grad-cam the device
        self.encoder, self.layer, self.text, self.score = encoder, layer, text, score

    def forward(self, pixels: Tensor) -> Tensor:
        def through_tap(output: Any) -> Tensor:
            # Clones, as pytorch-grad-cam detaches what it has seen in place, and a tower may go on in place.
            maps = self.tap(self.layer.maps(output).float().clone())
            return self.layer.restored(maps.clone().to(output.dtype), output)

        with hooked(self.layer.module, through_tap):
            scores = match_scores(self.encoder, pixels, self.text, self.score)
        if torch.is_grad_enabled() and pixels.requires_grad and not scores.requires_grad:
            raise UsageError(
                f"the embedding of {self.encoder.info.name} cannot be differentiated up to layer {self.layer.name}"
            )
        return scores


def find_class(name: str) -> Any:
    """A class of pytorch-grad-cam by its name, or any by ``package.module.Class``.

    Raises:
        SetupError: pytorch-grad-cam is not installed.
        UsageError: there is no such class, or it cannot explain a layer for a text.
    """
    try:
        import pytorch_grad_cam
    except ImportError as error:
        raise SetupError("pgc needs pytorch-grad-cam: pip install 'xtool-cam[pgc]'") from error
    kinds = (pytorch_grad_cam.base_cam.BaseCAM, pytorch_grad_cam.FinerCAM)
    found = _imported(name) if "." in name or ":" in name else getattr(pytorch_grad_cam, name, None)
    names = [parent.__name__ for parent in found.__mro__] if isinstance(found, type) else [name]
    for refused in names:
        if refused in REFUSED:
            raise UsageError(f"pgc:name={name} cannot be used: {refused} {REFUSED[refused]}")
    if isinstance(found, type) and issubclass(found, kinds):
        return found
    known = sorted(
        item
        for item, value in vars(pytorch_grad_cam).items()
        if isinstance(value, type) and issubclass(value, kinds) and item not in REFUSED
    )
    if found is not None:
        raise UsageError(f"pgc:name={name} is not a subclass of pytorch_grad_cam's BaseCAM; it has: {', '.join(known)}")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? It has" if near else "it has"
    raise UsageError(f"pytorch-grad-cam has no class {name!r}; {hint}: {', '.join(known)}")


def _imported(name: str) -> Any:
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"pgc:name={name} cannot be imported: {error}") from error


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Inside, a backward pass leaves no gradient in the module's parameters."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
