"""The methods on offer, and a method's options as form fields, read from its pydantic config, and back to a request."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from xtool.plugin import (
    AUTO,
    Architecture,
    Encoder,
    EncoderInfo,
    FeatureConfig,
    MaskConfig,
    MethodConfig,
    MethodRequest,
    SaliencyMethodSpec,
    config_class,
    parse_methods,
    refusal,
    registry,
)

__all__ = ["FormField", "Kind", "MethodChoice", "build_request", "fields_of", "usable_methods"]

Kind = Literal["switch", "choice", "whole", "number", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One option, as a form shows it."""

    name: str
    kind: Kind
    default: Any
    optional: bool
    """Whether ``None`` is a value, shown as "auto"."""
    description: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    """Bounds that are values themselves: an open bound is moved a little inwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodChoice:
    """A method on offer."""

    name: str
    summary: str
    forwards: str
    """Passes through the model, as its spec says it: ``"2 + C"``."""
    masks_pool: bool = False
    """Whether its many masks cost one pass together, because the model can pool under them."""

    @property
    def cost(self) -> str:
        """Its passes in a word or two."""
        if self.forwards == "0":
            return "no pass"
        return "quick" if self.masks_pool or self.forwards in ("1", "T") else "many passes"

    @property
    def label(self) -> str:
        """One line for the list of methods: what it does, before what it is called."""
        return f"{self.summary.split('; ')[0].rstrip('.')} ({self.name}, {self.cost})"


def fields_of(
    config: type[MethodConfig],
    preset: str | None = None,
    *,
    architecture: Architecture | None = None,
    encoder: EncoderInfo | None = None,
) -> list[FormField]:
    """The form of a method's options.

    Args:
        config: the method's config class.
        preset: its values become the defaults.
        architecture: feature extractors for another one are not offered.
        encoder: when it is loaded, its layers are offered by name.
    """
    given = config.presets.get(preset, {}) if preset else {}
    fields = []
    for name, told in config.model_fields.items():
        field = _field(name, told, given.get(name, told.default))
        if name == "features" and issubclass(config, FeatureConfig):
            field = replace(field, kind="choice", choices=(AUTO, *_extractors(architecture)))
        elif name == "layer" and field.kind == "text" and encoder is not None:
            field = replace(field, kind="choice", choices=(AUTO, *encoder.layers))
        fields.append(field)
    return fields


def build_request(
    method: str, fields: Sequence[FormField], values: Mapping[str, Any], preset: str | None = None
) -> MethodRequest:
    """The request that a filled-in form asks for. Only values that differ from the form's defaults are named.

    Raises:
        UsageError: values that the method refuses, each named.
    """
    changed = {f.name: values[f.name] for f in fields if f.name in values and values[f.name] != f.default}
    settings = {**changed, **({"preset": preset} if preset else {})}
    (request,) = parse_methods([method], {method: settings} if settings else None)
    told = [f"preset={preset}"] if preset else []
    told += [f"{name}={value}" for name, value in changed.items()]
    return replace(request, label=":".join([method, *told]))


def usable_methods(encoder: Encoder | None) -> list[MethodChoice]:
    """The methods that work on a model, suggested ones first; while it is not loaded, those that work on any."""
    catalogue = registry().saliency_methods
    fitting = [
        item for item in catalogue if (_works_on_any(item.spec) if encoder is None else not refusal(item.spec, encoder))
    ]
    pools = encoder is not None and encoder.info.default_mask_at == "pool"
    return [
        MethodChoice(
            name=catalogue.name_of(item),
            summary=item.spec.summary,
            forwards=item.spec.forwards,
            masks_pool=pools and "C" in item.spec.forwards and issubclass(config_class(item.spec), MaskConfig),
        )
        for item in sorted(fitting, key=lambda item: -item.spec.suggested)
    ]


def _works_on_any(spec: SaliencyMethodSpec) -> bool:
    return set(get_args(Architecture)) == set(spec.architectures) and not spec.check_encoder


def presets_of(method: str) -> tuple[str, ...]:
    """Names of a method's presets."""
    return tuple(config_class(registry().saliency_methods.find(method).spec).presets)


def _extractors(architecture: Architecture | None) -> list[str]:
    catalogue = registry().feature_extractors
    return [item.spec.name for item in catalogue if architecture is None or architecture in item.spec.architectures]


def _field(name: str, told: FieldInfo, default: Any) -> FormField:
    kind, optional, choices = _kind(told.annotation)
    minimum, maximum = _bounds(told.metadata, whole=kind == "whole")
    return FormField(
        name=name,
        kind=kind,
        default=str(default) if kind == "text" and default is not None else default,
        optional=optional,
        description=told.description or "",
        choices=choices,
        minimum=minimum,
        maximum=maximum,
    )


def _kind(annotation: Any) -> tuple[Kind, bool, tuple[Any, ...]]:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        optional = len(inner) < len(get_args(annotation))
        if len(inner) == 1:
            kind, _, choices = _kind(inner[0])
            return kind, optional, choices
        if all(part is bool or get_origin(part) is Literal for part in inner):
            return "choice", optional, tuple(v for part in inner for v in (get_args(part) or (True, False)))
        return "text", optional, ()
    if get_origin(annotation) is Literal:
        return "choice", False, get_args(annotation)
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number"}
    return kinds.get(annotation, "text"), False, ()


def _bounds(metadata: Sequence[Any], *, whole: bool) -> tuple[float | None, float | None]:
    step = 1 if whole else 1e-6
    minimum: float | None = None
    maximum: float | None = None
    for bound in metadata:
        if isinstance(bound, annotated_types.Ge):
            minimum = bound.ge  # type: ignore[assignment]  # numbers, though typed as anything that compares
        elif isinstance(bound, annotated_types.Gt):
            minimum = bound.gt + step  # type: ignore[operator]
        elif isinstance(bound, annotated_types.Le):
            maximum = bound.le  # type: ignore[assignment]
        elif isinstance(bound, annotated_types.Lt):
            maximum = bound.lt - step  # type: ignore[operator]
    return minimum, maximum
