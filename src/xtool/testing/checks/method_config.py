"""Checks of a method's options."""

from __future__ import annotations

import tomllib
from typing import Any

from xtool.contracts.catalogue import Provided
from xtool.contracts.config import FeatureConfig, MethodConfig
from xtool.contracts.specs import SaliencyMethodSpec
from xtool.engine.methods import config_class, parse_methods
from xtool.errors import UsageError
from xtool.testing.verdict import require

Subject = Provided[SaliencyMethodSpec]


def config_is_valid(subject: Subject) -> None:
    """The config is a MethodConfig (FeatureConfig with features); every option has a default and a description."""
    config = config_class(subject.spec)
    wanted = FeatureConfig if "features" in subject.spec.requires else MethodConfig
    require(isinstance(config, type) and issubclass(config, wanted), f"{subject.spec.config} is no {wanted.__name__}")
    config()
    for name, field in config.model_fields.items():
        require(bool(field.description), f"option {name} has no description; write Field(..., description=...)")
    for preset, options in config.presets.items():
        config.model_validate(options)
        require(bool(options), f"preset {preset} sets nothing")


def config_round_trips_through_the_command_line(subject: Subject) -> None:
    """Every default can be typed, as name:option=value, and is read back as the same value."""
    default = config_class(subject.spec)()
    typed = ":".join(f"{name}={_typed(value)}" for name, value in default.model_dump(mode="json").items())
    name = subject.qualified_name
    (request,) = parse_methods([f"{name}:{typed}" if typed else name])
    require(request.config == default, f"{typed} is read back as {request.config!r}")


def config_round_trips_through_toml(subject: Subject) -> None:
    """Every default can be written in a TOML experiment file, and is read back as the same value."""
    default = config_class(subject.spec)()
    name = subject.qualified_name
    lines = [f"{key} = {_toml(value)}" for key, value in default.model_dump(mode="json").items() if value is not None]
    read: dict[str, Any] = tomllib.loads("\n".join(lines))
    (request,) = parse_methods([name], {name: read} if read else None)
    require(request.config == default, f"{lines} is read back as {request.config!r}")


def unknown_options_are_refused(subject: Subject) -> None:
    """An option that does not exist is an error in words, not silently ignored."""
    try:
        parse_methods([f"{subject.qualified_name}:no_such_option=1"])
    except UsageError:
        return
    require(False, "no_such_option=1 was accepted; keep extra='forbid' in the config")


CONFIG_CHECKS = (
    config_is_valid,
    config_round_trips_through_the_command_line,
    config_round_trips_through_toml,
    unknown_options_are_refused,
)


def _typed(value: Any) -> str:
    if isinstance(value, list | dict) or (isinstance(value, str) and set(value) & set(",:")):
        require(False, f"the default {value!r} cannot be typed in name:option=value; take a plain value")
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
