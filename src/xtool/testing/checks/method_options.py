"""Sets of options to check a method with: each takes another way through its code, as far as the config can say."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from xtool.contracts.config import MethodConfig
from xtool.engine.methods import MethodRequest

SOME = 3
"""Of an optional count: fewer than any planted encoder has maps."""
BELOW_ITS_LIMIT = 0.9
"""Of an optional number, as a fraction of the largest that is allowed."""


def option_sets(request: MethodRequest) -> Iterator[dict[str, Any]]:
    """None, each preset, and each other value of a switch, of a choice and of a number that is off by default.

    As on the command line, an option that was given overrides a preset's.
    """
    config: type[MethodConfig] = type(request.config)
    own = config.presets[request.preset] if request.preset else {}
    given = request.config.model_fields_set - own.keys()
    yield {}
    for preset in config.presets.values():
        yield {name: value for name, value in preset.items() if name not in given}
    for name, field in config.model_fields.items():
        for value in _other_values(field):
            yield {name: value}


def _other_values(field: FieldInfo) -> list[Any]:
    kinds = _alternatives(field.annotation)
    values: list[Any] = [True, False] if bool in kinds else []
    for kind in kinds:
        if get_origin(kind) is Literal:
            values += get_args(kind)
    if NoneType in kinds and field.default is None:
        values += [_some(field, kind) for kind in (int, float) if kind in kinds]
    return [value for value in values if value != field.default]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _some(field: FieldInfo, kind: type) -> int | float:
    lowest = max((getattr(limit, "ge", None) or 0 for limit in field.metadata), default=0)
    highest = min((getattr(limit, "le", None) or 1 for limit in field.metadata), default=1)
    return max(SOME, lowest) if kind is int else BELOW_ITS_LIMIT * highest
