"""Encoders by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtool.contracts.registry import registry, resolve
from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.config import Dtype
    from xtool.contracts.protocols import Encoder


def load_encoder(
    name: str | None = None,
    *,
    pretrained: str | None = "auto",
    seed: int = 0,
    device: str = "auto",
    dtype: Dtype = "auto",
    compile: bool = False,  # noqa: A002 (the name of the option everywhere)
    cache_dir: str | None = None,
) -> Encoder:
    """Load an image–text model.

    Args:
        name: a name that ``xtool encoders`` lists; by default the one that an installed plugin suggests.
        pretrained: a weights tag, a checkpoint file, ``None`` for random weights, or ``"auto"`` for the model's
            default weights where it has some.
        seed: seed of random weights.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: what passes without gradients compute in; ``auto`` is float32.
        compile: compile the image tower for passes without gradients, where the encoder can.
        cache_dir: folder that downloaded weights are kept in.

    Raises:
        UsageError: unknown name or tag.
        SetupError: weights or device that cannot be had here.
    """
    from xtool.contracts.config import EncoderOptions

    encoders = registry().encoders
    spec = (encoders.default() if name is None else encoders.find(name)).spec
    if pretrained == "auto":
        if spec.default_pretrained is None:
            raise UsageError(
                f"encoder {spec.name} has no default weights; give --pretrained with a tag, a checkpoint file, "
                "or none for random weights"
            )
        pretrained = spec.default_pretrained
    if pretrained is not None and pretrained.lower() == "none":
        pretrained = None
    options = EncoderOptions(
        pretrained=pretrained, seed=seed, device=device, dtype=dtype, compile=compile, cache_dir=cache_dir
    )
    encoder: Encoder = resolve(spec.factory)(spec.name, options)
    return encoder
