"""From ``vlscore:top_k=256`` to a method that can explain: parsing, options, feature extractor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.contracts.catalogue import Provided
from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import SaliencyMethodSpec
from xtool.engine.calibration import Calibrated, calibration_for
from xtool.engine.calibration_file import CalibrationFile
from xtool.errors import UsageError, XtoolError, blamed

if TYPE_CHECKING:
    import torch

    from xtool.contracts.config import MethodConfig
    from xtool.contracts.protocols import Calibration, Encoder, EncoderInfo, SaliencyMethod
    from xtool.engine.guard import Guarded


@dataclass(frozen=True, slots=True)
class MethodRequest:
    """A method and its options, as asked for and not yet built."""

    label: str
    """The name of the row: what the user wrote."""
    provided: Provided[SaliencyMethodSpec]
    config: MethodConfig
    preset: str | None = None
    calibration: Calibration | None = None
    """The bar between absent and present for an encoder, once options are resolved for it."""
    source: Encoder | None = None
    """The encoder that ``features_from`` names, loaded when options are resolved, or handed over."""

    def describe(self) -> dict[str, Any]:
        """For the manifest: everything that decides what the method computes."""
        return {
            "label": self.label,
            "method": self.provided.qualified_name,
            "preset": self.preset,
            "config": self.config.model_dump(mode="json"),
            "calibration": None if self.calibration is None else asdict(self.calibration),
        }


@dataclass(frozen=True, slots=True)
class _Parsed:
    label: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)


def parse_methods(
    texts: Iterable[str],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    features_from: Encoder | str | None = None,
) -> list[MethodRequest]:
    """Parse ``name``, ``name:option=value:option=value`` and comma-separated lists of them.

    Args:
        texts: what the user wrote, for example ``["vlscore:top_k=256,gradcam"]``.
        settings: options by method name that hold for every row of that method (``--set``, TOML); a row's own win.
        features_from: the option ``features_from`` of all methods that work on feature maps and do not set it; also
            an encoder that is loaded.

    Raises:
        UsageError: an unknown method or option, a bad value, or the same row twice; ``features_from`` where no method
            works on feature maps.
    """
    settings = settings or {}
    parsed = [_parse(part.strip()) for text in texts for part in text.split(",") if part.strip()]
    if not parsed:
        raise UsageError("no method given; `xtool methods` lists all")
    unused = set(settings) - {item.name for item in parsed}
    if unused:
        raise UsageError(f"options are set for {', '.join(sorted(unused))}, which is not among the methods of this run")
    labels = [item.label for item in parsed]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise UsageError(f"method {', '.join(sorted(twice))} is given twice; give the rows different options")
    requests = [_request(item, settings.get(item.name, {})) for item in parsed]
    return requests if features_from is None else _with_features_from(requests, features_from)


def suggested_methods() -> list[str]:
    """What is compared when the user names nothing, the first of which explains a single image.

    Raises :class:`UsageError` where no installed plugin suggests a method.
    """
    catalogue = registry().saliency_methods
    catalogue.default()
    return [catalogue.name_of(item) for item in catalogue.suggested()]


def resolve_options(request: MethodRequest, encoder: EncoderInfo, device: torch.device | None = None) -> MethodRequest:
    """The same request with every ``auto`` option by its name for this encoder, and the calibration that holds then.

    Rows that mean the same thus share their passes, whether they say so or leave it to ``auto``, and a run's manifest
    says what was computed. An encoder that ``features_from`` names is loaded, on this device or the best available.
    """
    request = _with_source(request, device)
    config = request.config.resolved(encoder)
    calibration = calibration_for(request.provided.spec.name, config, encoder)
    return replace(request, config=config, calibration=calibration)


def build_method(request: MethodRequest, encoder: EncoderInfo) -> Guarded:
    """Build the method for an encoder.

    What it answers is checked, and whatever it raises is a :class:`PluginError` with its name.

    Raises :class:`UsageError` where the two do not fit.
    """
    from xtool.engine.guard import Guarded

    request = resolve_options(request, encoder)
    spec = request.provided.spec
    _require_architecture(spec, encoder)
    name = f"method {request.label} of the plugin {request.provided.owner}"
    with blamed(name):
        method = _built(request, encoder)
    calibrated = method if request.calibration is None else Calibrated(method, request.calibration)
    return Guarded(calibrated, name, own_texts=spec.own_texts)


def refusal(spec: SaliencyMethodSpec, encoder: Encoder) -> str:
    """Why a method cannot explain what an encoder sees, for people; empty if it can, as far as is known without a pass.

    Its options may still be refused.
    """
    try:
        _require_architecture(spec, encoder.info)
        if spec.check_encoder:
            with blamed(f"method {spec.name}"):
                resolve(spec.check_encoder)(encoder)
    except XtoolError as error:
        return str(error)
    return ""


def _require_architecture(spec: SaliencyMethodSpec, encoder: EncoderInfo) -> None:
    if encoder.architecture not in spec.architectures:
        raise UsageError(
            f"method {spec.name} works on {' and '.join(spec.architectures)} encoders; "
            f"{encoder.name} is a {encoder.architecture}"
        )


def _built(request: MethodRequest, encoder: EncoderInfo) -> SaliencyMethod:
    spec = request.provided.spec
    from xtool.contracts.config import FeatureConfig
    from xtool.engine.features import build_extractor
    from xtool.engine.refine import refined

    factory = resolve(spec.factory)
    if "features" not in spec.requires:
        method: SaliencyMethod = factory(request.config)
        return refined(method, request.config, encoder)
    if not isinstance(request.config, FeatureConfig):
        raise UsageError(f"method {spec.name} requires features, so its config must be a FeatureConfig")
    config = request.config
    extractor = build_extractor(
        config.features, config.layer, config.pca, encoder, clusters=config.clusters, source=request.source
    )
    with_features: SaliencyMethod = factory(config, extractor)
    return refined(with_features, config, encoder)


def require_calibration(path: str | Path, requests: Sequence[MethodRequest]) -> None:
    """Raise :class:`UsageError` if a calibration that was asked for fits none of the methods.

    Args:
        path: of the calibration.
        requests: resolved for the encoder that it was loaded with.
    """
    given = [bounds.calibration() for bounds in CalibrationFile.read(path).bounds]
    if any(request.calibration in given for request in requests):
        return
    told = []
    for request in requests:
        name = request.provided.spec.name
        own = request.config.evidence_options()
        made = [calibration for calibration in given if calibration.method == name]
        if not made:
            reason = f"it is for {' and '.join(dict.fromkeys(calibration.method for calibration in given))}"
        elif own is None:
            reason = "its options decide what is present by themselves"
        else:
            other = made[0].options
            keys = [key for key in {**own, **other} if own.get(key) != other.get(key)]
            reason = "it was made with " + ", ".join(f"{key}={other.get(key)}, not {own.get(key)}" for key in keys)
        told.append(f"{request.label}: {reason}")
    raise UsageError(f"the calibration {path} fits none of the methods\n" + "\n".join(f"  {line}" for line in told))


def _with_features_from(requests: Sequence[MethodRequest], source: Encoder | str) -> list[MethodRequest]:
    from xtool.contracts.config import FeatureConfig

    if not any(isinstance(request.config, FeatureConfig) for request in requests):
        names = ", ".join(request.label for request in requests)
        raise UsageError(f"features can come from another encoder only for methods that work on them, not for {names}")

    def asked(request: MethodRequest) -> MethodRequest:
        if not isinstance(request.config, FeatureConfig) or request.config.features_from is not None:
            return request
        name = source if isinstance(source, str) else f"{source.info.name}@{source.info.weights}"
        config = request.config.model_copy(update={"features_from": name})
        return replace(request, config=config, source=None if isinstance(source, str) else source)

    return [asked(request) for request in requests]


def _with_source(request: MethodRequest, device: torch.device | None) -> MethodRequest:
    """With the encoder that its features come from, if that is another, and with that one's defaults by name."""
    from xtool.contracts.config import FeatureConfig

    config = request.config
    if not isinstance(config, FeatureConfig) or config.features_from is None:
        return request
    from xtool.engine.encoders import counted
    from xtool.engine.sources import load_source

    source = load_source(config.features_from, device) if request.source is None else counted(request.source)
    # Only what these options mean is the source's to say; all others are resolved for the encoder that is explained.
    own = FeatureConfig.resolved(config.model_copy(update={"features_from": None}), source.info)
    return replace(request, config=own.model_copy(update={"features_from": config.features_from}), source=source)


def config_class(spec: SaliencyMethodSpec) -> type[MethodConfig]:
    """The pydantic model of a method's options."""
    found: type[MethodConfig] = resolve(spec.config)
    return found


def _parse(text: str) -> _Parsed:
    segments = text.split(":")
    names = [segment for segment in segments if "=" not in segment]
    options = [segment for segment in segments if "=" in segment]
    if segments != names + options or not 1 <= len(names) <= 2:
        raise UsageError(f"method {text!r} cannot be read; write name, name:option=value or owner:name:option=value")
    pairs = [option.partition("=")[::2] for option in options]
    return _Parsed(text, ":".join(names), {key.strip(): _value(value) for key, value in pairs})


def _value(text: str) -> Any:
    text = text.strip()
    return None if text.lower() == "none" else text


def _request(item: _Parsed, settings: Mapping[str, Any]) -> MethodRequest:
    from pydantic import ValidationError

    provided = registry().saliency_methods.find(item.name)
    config = config_class(provided.spec)
    given = {**settings, **item.options}
    preset = given.pop("preset", None)
    options: dict[str, Any] = {}
    if preset in config.deprecated_presets:
        now = config.deprecated_presets[preset]
        warnings.warn(f"{item.name}:preset={preset} is now called preset={now}", FutureWarning, stacklevel=2)
        preset = now
    if preset is not None:
        if preset not in config.presets:
            known = ", ".join(config.presets) or "none"
            raise UsageError(f"method {item.name} has no preset {preset!r}; it has: {known}")
        options.update(config.presets[preset])
    options.update(given)
    try:
        return MethodRequest(item.label, provided, config.model_validate(options), preset)
    except ValidationError as error:
        raise UsageError(_explain(item.name, config, error)) from error


def _explain(name: str, config: type[MethodConfig], error: Any) -> str:
    import difflib

    told = []
    for problem in error.errors():
        option = ".".join(str(part) for part in problem["loc"]) or name
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(option, [*config.model_fields, "preset"], n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it has: {', '.join(config.model_fields)}"
            told.append(f"method {name} has no option {option!r}{hint}")
        else:
            told.append(f"method {name}, option {option}={problem['input']!r}: {problem['msg']}")
    return "\n".join(told)
