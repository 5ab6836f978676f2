"""Where an encoder sees a text in one image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from xtool.engine.encoders import load_encoder
from xtool.engine.methods import MethodRequest, build_method, parse_methods
from xtool.engine.sharing import CountedEncoder, Ledger, image_ledger
from xtool.errors import UsageError
from xtool.image.files import open_image
from xtool.image.geometry import Fit
from xtool.image.pixels import fit_image, to_pixels
from xtool.metrics.boxes import box_sweep
from xtool.metrics.image_map import ImageMap

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from xtool.contracts.protocols import Encoder, Saliency, SaliencyMethod

DEFAULT_THRESHOLD = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One method's answer for one image and T texts."""

    image: Image.Image
    """The image, RGB and upright."""
    texts: tuple[str, ...]
    method: str
    encoder: str
    maps: NDArray[np.float32]
    """[T, H, W] at image resolution, each scaled to [0, 1]; all zero where the method sees nothing."""
    present: NDArray[np.bool_]
    """[T]: whether the method finds the text in the image at all."""
    scores: NDArray[np.float32] | None
    """[T]: the evidence behind ``present``; ``None`` from methods that have none."""
    seconds: float
    forwards: int
    """Images through the encoder."""

    def boxes(self, threshold: float = DEFAULT_THRESHOLD) -> list[NDArray[np.int64]]:
        """Per text, half-open boxes [N, 4] (x0, y0, x1, y1) around what exceeds ``threshold`` of the map's maximum."""
        if not 0 <= threshold < 1:
            raise UsageError(f"threshold must lie in [0, 1), not {threshold}")
        return [box_sweep(heat, [threshold]).at(0).astype(np.int64) for heat in self.maps]

    def save(self, path: str | Path, threshold: float = DEFAULT_THRESHOLD) -> Path:
        """Draw the maps and boxes, one panel per text, as PNG, SVG or PDF by the file's ending."""
        from xtool.report.figures import save_figure
        from xtool.report.overlays import explanation_figure

        return save_figure(explanation_figure([self], threshold), path)

    def as_json(self, threshold: float = DEFAULT_THRESHOLD) -> dict[str, Any]:
        """Boxes and verdicts, for machines."""
        found = self.boxes(threshold)
        return {
            "method": self.method,
            "encoder": self.encoder,
            "threshold": threshold,
            "seconds": self.seconds,
            "forwards": self.forwards,
            "texts": [
                {
                    "text": text,
                    "present": bool(self.present[i]),
                    "score": None if self.scores is None else float(self.scores[i]),
                    "boxes": found[i].tolist(),
                }
                for i, text in enumerate(self.texts)
            ],
        }


def explain(
    image: str | Path | Image.Image,
    texts: str | Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    method: str = "vlscore",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    fit: Fit = "squash",
) -> Explanation:
    """Explain one image with one method. See :func:`explain_all`."""
    return explain_all(image, texts, encoder=encoder, methods=[method], settings=settings, fit=fit)[0]


def explain_all(
    image: str | Path | Image.Image,
    texts: str | Sequence[str],
    *,
    encoder: Encoder | str | None = None,
    methods: Sequence[str] = ("vlscore",),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    fit: Fit = "squash",
) -> list[Explanation]:
    """Explain one image with several methods, which share the work that they have in common.

    Args:
        image: a file, or a PIL image.
        texts: one or more texts, taken as they are: ``"an image of a dog."``.
        encoder: a loaded encoder, a name, or ``None`` for the bundled model.
        methods: as on the command line, ``["vlscore:top_k=256", "gradcam"]``.
        settings: options by method name.
        fit: how the image fills the model's input: ``squash``, ``crop`` or ``pad``.

    Raises:
        UsageError: no text, or an unknown method or option.
        DataError: the image cannot be read.
    """
    whole = open_image(image) if isinstance(image, str | Path) else image
    requests = parse_methods(methods, settings)
    loaded = load_encoder() if encoder is None else load_encoder(encoder) if isinstance(encoder, str) else encoder
    return Explainer(whole, loaded, fit=fit).explain(texts, requests)


class Explainer:
    """One image before one encoder, to be asked again and again.

    What does not depend on the text (the fitted pixels, feature maps, masked embeddings) is kept for as long as the
    explainer is, so that a second text is answered at once. ``seconds`` of an answer still counts what was kept.
    """

    def __init__(self, image: Image.Image, encoder: Encoder, *, fit: Fit = "squash") -> None:
        self.image = image.convert("RGB")
        self.encoder = encoder
        self._fitted = fit_image(self.image, encoder.info, fit)
        self.pixels = to_pixels(self._fitted, encoder)
        self._ledger = Ledger()

    def explain(
        self,
        texts: str | Sequence[str],
        methods: Sequence[MethodRequest],
        *,
        on_pass: Callable[[int], None] | None = None,
    ) -> list[Explanation]:
        """One explanation per method.

        Args:
            texts: one or more texts, taken as they are.
            methods: as :func:`xtool.engine.methods.parse_methods` returns them.
            on_pass: told of each pass through the image tower with the images in it; what it raises stops the work.

        Raises:
            UsageError: no text, or a method that does not fit the encoder.
        """
        wanted = (texts,) if isinstance(texts, str) else tuple(texts)
        if not wanted or not all(text.strip() for text in wanted):
            raise UsageError("give at least one text to look for, and none that is empty")
        built = [build_method(request, self.encoder.info) for request in methods]
        embedded = self.encoder.encode_text(wanted)
        with self.kept_work(on_pass), torch.no_grad():
            return [
                self._explanation(request.label, method, wanted, embedded)
                for request, method in zip(methods, built, strict=True)
            ]

    @contextmanager
    def kept_work(self, on_pass: Callable[[int], None] | None = None) -> Iterator[None]:
        """Inside, shared work about this image is taken from what is kept, and added to it."""
        self._ledger.on_pass = on_pass
        try:
            with image_ledger(self._ledger):
                yield
        finally:
            self._ledger.on_pass = None

    def _explanation(self, label: str, method: SaliencyMethod, texts: tuple[str, ...], embedded: Tensor) -> Explanation:
        ledger = self._ledger
        forwards, charged, start = ledger.forwards, ledger.charged_seconds, time.perf_counter()
        saliency = method.explain(CountedEncoder(self.encoder), self.pixels, embedded)
        maps = _at_image_resolution(saliency, self._fitted.geometry)
        return Explanation(
            image=self.image,
            texts=texts,
            method=label,
            encoder=self.encoder.info.name,
            maps=maps,
            present=(
                np.ones(len(texts), dtype=np.bool_) if saliency.present is None else saliency.present[0].cpu().numpy()
            ),
            scores=None if saliency.scores is None else saliency.scores[0].float().cpu().numpy(),
            seconds=time.perf_counter() - start + ledger.charged_seconds - charged,
            forwards=ledger.forwards - forwards,
        )


def _at_image_resolution(saliency: Saliency, geometry: Any) -> NDArray[np.float32]:
    return np.stack([ImageMap(low, geometry).full for low in saliency.maps[0].float().cpu().numpy()])
