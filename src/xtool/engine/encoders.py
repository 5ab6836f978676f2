"""Encoders by name, with what the core adds to each: its passes are counted, and made by one thread at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import PHOTOGRAPHS
from xtool.engine.calibration_file import CalibrationFile
from xtool.engine.encoder_names import find_encoder
from xtool.engine.work import tower_pass
from xtool.errors import UsageError, blamed

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from xtool.contracts.config import Dtype
    from xtool.contracts.protocols import Calibration, Encoder, EncoderInfo, PoolsMasks


def load_encoder(
    name: str | None = None,
    *,
    shows: str = PHOTOGRAPHS,
    pretrained: str | None = "auto",
    seed: int = 0,
    device: str = "auto",
    dtype: Dtype = "auto",
    compile: bool = False,  # noqa: A002 (the name of the option everywhere)
    cache_dir: str | None = None,
    input_size: int | None = None,
    classes: str | Path | None = None,
    calibration: str | Path | None = None,
) -> CountedEncoder:
    """Load an image–text model.

    Args:
        name: a name that ``xtool encoders`` lists, in any spelling; or a prefix from there with what follows it; or a
            folder or a repository of the Hugging Face hub, ``ORG/NAME``. By default the one that an installed plugin
            suggests for what the pictures show.
        shows: what the pictures are where no name is given, ``"photographs"`` or ``"pictograms"``; where no installed
            encoder knows them, one of another kind is taken (:func:`out_of_depth` says so).
        pretrained: a weights tag, a checkpoint file, ``None`` for random weights, or ``"auto"`` for the model's
            default weights where it has some.
        seed: seed of random weights.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: precision of forward passes without gradients; ``auto`` is float32.
        compile: compile the image tower for passes without gradients, where the encoder can.
        cache_dir: folder for downloaded weights.
        input_size: side of the square image that the model is given, in pixels; by default its own.
        classes: a file with the names of the classes of a classifier of your own, in the order of its outputs.
        calibration: a file that ``xtool calibrate`` wrote for this encoder; it overrides the encoder's own.

    Raises:
        UsageError: unknown name or tag, an input size that the model cannot take, or a calibration of another encoder
            or other weights.
        SetupError: weights or a device that are not available here.
    """
    from xtool.contracts.config import EncoderOptions

    encoders = registry().encoders
    provided = encoders.default(shows) if name is None else find_encoder(name, cache_dir)
    spec = provided.spec
    if spec.is_prefix:
        raise UsageError(f"{spec.name} is only the beginning of a name; `xtool encoders {spec.name}` says what follows")
    if pretrained == "auto":
        if spec.default_pretrained is None:
            raise UsageError(
                f"encoder {spec.name} has no default weights; give --pretrained with a tag, a checkpoint file, "
                "or none for random weights"
            )
        pretrained = spec.default_pretrained
    if pretrained is not None and pretrained.lower() == "none":
        pretrained = None
    if input_size is not None and input_size < 1:
        raise UsageError(f"the input size must be at least 1 pixel, not {input_size}")
    if classes is not None and not spec.own_classes:
        raise UsageError(f"{spec.name} takes any text, and no names of classes; --classes is for classifiers (timm)")
    given = None if calibration is None else CalibrationFile.read(calibration)
    options = EncoderOptions(
        pretrained=pretrained,
        seed=seed,
        device=device,
        dtype=dtype,
        compile=compile,
        cache_dir=cache_dir,
        input_size=input_size,
        classes=None if classes is None else str(classes),
    )
    factory = resolve(spec.factory)
    from xtool.engine.ambient import as_after_start

    with blamed(f"encoder {spec.name} of the plugin {provided.owner}"), as_after_start():
        encoder: Encoder = factory(spec.name, options)
    height, width = encoder.info.input_size
    if input_size is not None and (height, width) != (input_size, input_size):
        raise UsageError(f"{spec.name} takes images of {height}×{width} pixels only; do not give an input size")
    if given is None or calibration is None:
        return counted(encoder)
    return CountedEncoder(encoder, given.for_encoder(encoder.info, calibration))


class CountedEncoder:
    """An encoder whose ``encode_image`` counts in the current account; everything else is the encoder's own.

    ``calibrations`` override those of the encoder.
    """

    def __init__(self, encoder: Encoder, calibrations: tuple[Calibration, ...] = ()) -> None:
        self._encoder = encoder
        self._calibrations = calibrations

    @property
    def info(self) -> EncoderInfo:
        own = self._encoder.info
        return replace(own, calibrations=self._calibrations + own.calibrations) if self._calibrations else own

    @property
    def visual(self) -> nn.Module:
        return self._encoder.visual

    @property
    def device(self) -> torch.device:
        return self._encoder.device

    @property
    def dtype(self) -> torch.dtype:
        return self._encoder.dtype

    def encode_image(self, pixels: Tensor) -> Tensor:
        from xtool.loading import half_precision

        with exclusive(self), tower_pass(len(pixels)):
            with self._weights_told(), half_precision(self.device, self.dtype):
                embeddings = self._encoder.encode_image(pixels)
            return self._checked(embeddings, "an image embedding", len(pixels))

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        with exclusive(self), tower_pass(len(pixels)):
            with self._weights_told():
                pooled = cast("PoolsMasks", self._encoder).encode_pooled(pixels, masks)
            return self._checked(pooled, "a pooled embedding", len(pixels))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        for text in texts:
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise UsageError(
                    f"the text {text!r} is no Unicode: it was read in another encoding than it was written in "
                    "(in a terminal, set LC_ALL to C.UTF-8 or PYTHONUTF8 to 1)"
                ) from error
        with exclusive(self), blamed(f"encoder {self.info.name}"):
            return self._checked(self._encoder.encode_text(texts), "a text embedding", len(texts))

    @contextmanager
    def _weights_told(self) -> Iterator[None]:
        """What a caller has done to the weights, where the tower fails for it.

        Half precision is an option of encoders; a tower that was cast from outside may not take their pixels.
        """
        try:
            yield
        except RuntimeError as error:
            if any(parameter.is_inference() for parameter in self.visual.parameters()):
                raise UsageError(
                    f"weights of {self.info.name} were made under torch.inference_mode(), and no gradient can go "
                    "through them; load, copy or unpickle the encoder outside of it"
                ) from error
            dtypes = {str(parameter.dtype) for parameter in self.visual.parameters()} - {"torch.float32"}
            if not dtypes or not {"type", "dtype"} & set(str(error).lower().replace(",", " ").split()):
                raise
            raise UsageError(
                f"weights of {self.info.name} were cast to {' and '.join(sorted(dtypes))}; keep them in torch.float32 "
                "(model.float()), and ask for half precision with dtype= of load_encoder"
            ) from error

    def _checked(self, embeddings: object, what: str, count: int) -> Tensor:
        from xtool.engine.guard import checked_embeddings

        info = self.info
        return checked_embeddings(embeddings, f"encoder {info.name} ({info.weights})", what, count, info.embed_dim)

    def __deepcopy__(self, memo: dict[int, Any]) -> CountedEncoder:
        from xtool.engine.ambient import as_after_start

        with as_after_start():
            return CountedEncoder(copy.deepcopy(self._encoder, memo), self._calibrations)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying and unpickling ask for these before there is an encoder to ask
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._encoder, name)


def given_encoder(given: Encoder | str | None, shows: str = PHOTOGRAPHS) -> CountedEncoder:
    """The encoder that a caller means: a loaded one, a name, or ``None`` for the one that suits what is shown."""
    if given is None or isinstance(given, str):
        return load_encoder(given, shows=shows)
    return counted(given)


def out_of_depth(info: EncoderInfo, shows: str = PHOTOGRAPHS) -> str:
    """A warning, with what to do, if an encoder gets pictures of a kind that it was not trained on; else empty.

    An encoder trained on photographs makes something of any picture, and of one that does not say what it knows,
    nothing can be said.
    """
    knows = _knows(info)
    if knows in ("", PHOTOGRAPHS, shows):
        return ""
    encoders = registry().encoders
    better = encoders.default(shows)
    told = f"{info.name} knows only {knows}, but its input is taken for {shows}: maps and verdicts mean little"
    if better.spec.knows != shows:
        return f"{told}. No installed encoder knows {shows}{encoders.missing()}."
    return f"{told}. Take the encoder {encoders.name_of(better)}, which knows {shows}."


def _knows(info: EncoderInfo) -> str:
    """What the spec says of the default weights, if these are they."""
    try:
        spec = registry().encoders.find(info.name).spec
    except UsageError:  # an encoder of the caller's own, or one of several of that name
        return ""
    return spec.knows if info.weights == spec.default_pretrained else ""


def counted(encoder: Encoder) -> CountedEncoder:
    """The encoder with its passes counted; one that :func:`load_encoder` returned is so already."""
    return encoder if isinstance(encoder, CountedEncoder) else CountedEncoder(encoder)


def modules_of(encoder: Encoder) -> list[nn.Module]:
    """The image tower, and the modules that an encoder holds as attributes, its text tower for example, which the
    protocol does not name."""
    from torch import nn

    own = encoder._encoder if isinstance(encoder, CountedEncoder) else encoder
    return [encoder.visual, *(held for held in getattr(own, "__dict__", {}).values() if isinstance(held, nn.Module))]


@contextmanager
def exclusive(*encoders: Encoder) -> Iterator[None]:
    """Inside the block only this thread runs these encoders, in eval mode; afterwards they are in the mode they were.

    Extractors and methods hook the tower's modules, and a hook sees the passes of every thread. In training mode, batch
    norms would take their statistics from the image, and keep them. Who needs two encoders asks for both at once: they
    are waited for in the same order by everyone, so that no two threads wait for each other.
    """
    with ExitStack() as held:
        for encoder in sorted(encoders, key=lambda each: id(each.visual)):
            held.enter_context(_turn_of(encoder))
        yield


@contextmanager
def _turn_of(encoder: Encoder) -> Iterator[None]:
    with _turns_lock:
        turn = _turns.setdefault(encoder.visual, _Turn())
    with turn.lock:
        if turn.taken:
            yield
            return
        turn.taken = True
        try:
            with _in_eval_mode(encoder):
                yield
        finally:
            turn.taken = False


class _Turn:
    def __init__(self) -> None:
        self.lock = RLock()
        self.taken = False


# By tower, not by wrapper: two wrappers of one encoder must wait for each other.
_turns: WeakKeyDictionary[nn.Module, _Turn] = WeakKeyDictionary()
_turns_lock = Lock()


@contextmanager
def _in_eval_mode(encoder: Encoder) -> Iterator[None]:
    training = [module for root in modules_of(encoder) for module in root.modules() if module.training]
    # Not by train(): what is frozen in eval mode within a model in training must stay so.
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
