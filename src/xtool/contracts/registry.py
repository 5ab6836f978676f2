"""Finding plugins, and keeping them apart.

A plugin is an entry point in the group ``xtool``. One that cannot be imported, belongs to another API version,
misspells a hook or yields something that is not a spec is kept as data (:class:`Plugin` with an ``error``), shown by
``xtool plugins``, and affects nothing else.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Timer
from types import ModuleType
from typing import Any, Literal

import pluggy

from xtool.contracts import hookspecs
from xtool.contracts.catalogue import DISTRIBUTION, Catalogue, Provided, S
from xtool.contracts.encoder_names import EncoderCatalogue
from xtool.contracts.specs import CommandSpec, DatasetSpec, EncoderSpec, FeatureExtractorSpec, SaliencyMethodSpec, Spec
from xtool.errors import SetupError

API_VERSION = 2
"""Major version of what plugins are written against; a plugin may state the one it was written for as ``XTOOL_API``."""

CHANGES = {
    2: "names are imported from xtool.plugin, what encoders load with from xtool.loading; encoders describe layers",
}
"""What authors must change for each API version, in words; docs/plugins/stable.md has the details."""

ENTRY_POINT_GROUP = "xtool"
DISABLE_VARIABLE = "XTOOL_DISABLE_PLUGINS"
BUILT_IN = "core"
PATIENCE = 10.0
"""Seconds of loading after which a plugin is named."""

Status = Literal["ok", "disabled", "incompatible", "error"]


@dataclass(slots=True)
class Plugin:
    """One installed plugin, whether it works or not."""

    name: str
    distribution: str
    version: str
    status: Status
    module: str = ""
    """What the entry point names: the module with the hooks."""
    api: int | None = None
    error: str = ""
    hooks: list[str] = field(default_factory=list)
    specs: list[Spec] = field(default_factory=list)
    expected_failures: dict[str, dict[str, str]] = field(default_factory=dict)
    """Why a check of :mod:`xtool.testing` must fail, by name of the spec and name of the check."""


@dataclass(frozen=True, slots=True)
class Registry:
    """All plugins, and what they contribute."""

    plugins: list[Plugin]
    encoders: EncoderCatalogue
    feature_extractors: Catalogue[FeatureExtractorSpec]
    saliency_methods: Catalogue[SaliencyMethodSpec]
    datasets: Catalogue[DatasetSpec]
    commands: Catalogue[CommandSpec]

    def catalogues(self) -> tuple[Catalogue[Any], ...]:
        return (self.encoders, self.feature_extractors, self.saliency_methods, self.datasets, self.commands)


HOOKS: dict[str, type[Spec]] = {
    "xtool_encoders": EncoderSpec,
    "xtool_feature_extractors": FeatureExtractorSpec,
    "xtool_saliency_methods": SaliencyMethodSpec,
    "xtool_datasets": DatasetSpec,
    "xtool_commands": CommandSpec,
}


@cache
def registry() -> Registry:
    """The registry of this process: every installed plugin except those named in ``XTOOL_DISABLE_PLUGINS``."""
    return discover(disabled_names(os.environ.get(DISABLE_VARIABLE, "")))


def disabled_names(value: str) -> frozenset[str]:
    """Plugin names from a comma-separated list."""
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def discover(disabled: frozenset[str] = frozenset()) -> Registry:
    """Load every installed plugin, each on its own."""
    core_version = importlib.metadata.version(DISTRIBUTION)
    plugins = [_load(BUILT_IN, DISTRIBUTION, core_version, "xtool.builtin", disabled)]
    for entry_point in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        distribution = entry_point.dist
        plugins.append(
            _load(
                entry_point.name,
                distribution.name if distribution else "?",
                distribution.version if distribution else "?",
                entry_point.value,
                disabled,
            )
        )
    return Registry(
        plugins,
        EncoderCatalogue("encoder", "encoders", _provided(plugins, EncoderSpec), extra="encoders"),
        Catalogue("feature extractor", "features --list", _provided(plugins, FeatureExtractorSpec), "encoders"),
        Catalogue("method", "methods", _provided(plugins, SaliencyMethodSpec), extra="methods"),
        Catalogue("data set", "datasets", _provided(plugins, DatasetSpec), extra="datasets"),
        Catalogue("command", "--help", _provided(plugins, CommandSpec)),
    )


def resolve(import_string: str) -> Any:
    """The object behind ``"package.module:attribute"``. Raises :class:`SetupError` where there is none."""
    module_name, separator, attribute = import_string.partition(":")
    if not separator or not attribute:
        raise SetupError(f"{import_string!r} is not an import string; it must look like 'package.module:attribute'")
    try:
        with redirect_stdout(sys.stderr):
            return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SetupError(f"{import_string} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise SetupError(f"{import_string} cannot be imported: {_told(error)}") from error


def _load(name: str, distribution: str, version: str, module_name: str, disabled: frozenset[str]) -> Plugin:
    plugin = Plugin(name, distribution, version, "ok", module_name)
    if name in disabled:
        return replace(plugin, status="disabled", error=f"blocked by {DISABLE_VARIABLE} or --no-plugin")
    try:
        with _patience(name):
            module = importlib.import_module(module_name)
    except _InterruptedError:
        raise
    # Whatever a stranger's module does at import must not take the program down.
    except (Exception, SystemExit) as error:
        return replace(plugin, status="error", error=f"cannot be imported: {_told(error)}{_moved(error)}")
    api = getattr(module, "XTOOL_API", API_VERSION)
    plugin.api = api
    plugin.expected_failures = getattr(module, "XTOOL_EXPECTED_FAILURES", {})
    if api != API_VERSION:
        return replace(plugin, status="incompatible", error=_other_api(api, distribution))
    try:
        hooks = _hooks_of(name, module)
    except pluggy.PluginValidationError as error:
        return replace(plugin, status="error", error=str(error))
    plugin.hooks = hooks
    try:
        with _patience(name):
            specs = [spec for hook in hooks for spec in _collect(module, hook)]
    except _InterruptedError:
        raise
    except (Exception, SystemExit) as error:  # as above, now inside a hook
        return replace(plugin, status="error", error=_told(error))
    return replace(plugin, specs=specs)


class _InterruptedError(SetupError):
    """By the user, and no fault of the plugin's."""


@contextmanager
def _patience(name: str) -> Iterator[None]:
    """While a plugin's code runs: what it prints must not stand in a command's output, and it may never end."""
    told = f"still loading the plugin {name}; Ctrl-C stops it, and `xtool --no-plugin {name} …` leaves it out"
    timer = Timer(PATIENCE, lambda: print(told, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        with redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise _InterruptedError(
            f"interrupted while the plugin {name} was loading; `xtool --no-plugin {name} …` leaves it out"
        ) from None
    finally:
        timer.cancel()


def _hooks_of(name: str, module: ModuleType) -> list[str]:
    """Names of the hooks that a plugin implements. A manager of its own, so that no plugin meets another."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name)
    manager.check_pending()
    hooks = [
        hook for hook in HOOKS if any(impl.plugin is module for impl in getattr(manager.hook, hook).get_hookimpls())
    ]
    if not hooks:
        raise pluggy.PluginValidationError(module, f"implements no hook; there are {', '.join(HOOKS)}")
    return hooks


def _collect(module: ModuleType, hook: str) -> Iterator[Spec]:
    kind = HOOKS[hook]
    names: set[str] = set()
    for spec in getattr(module, hook)() or ():
        if not isinstance(spec, kind):
            raise TypeError(f"{hook} yielded {spec!r}; it must yield {kind.__name__}")
        if spec.name in names:
            raise ValueError(f"{hook} yielded the name {spec.name!r} twice")
        names.add(spec.name)
        yield spec


def _provided(plugins: list[Plugin], kind: type[S]) -> Iterator[Provided[S]]:
    for plugin in plugins:
        for spec in plugin.specs:
            if isinstance(spec, kind):
                yield Provided(plugin.name, spec)


def _other_api(api: Any, distribution: str) -> str:
    newer = isinstance(api, int) and api > API_VERSION
    way_out = f"pip install --upgrade {DISTRIBUTION}" if newer else f"install a version of {distribution} for it"
    told = f"written for API {api}, this xtool has API {API_VERSION}; {way_out}"
    changes = [f"in API {version}, {words}" for version, words in CHANGES.items() if not newer and version > (api or 0)]
    return "; ".join([told, *changes])


def _moved(error: BaseException) -> str:
    """A hint for a plugin of an older API that does not say so: it imports what is not there any more."""
    missing = (error.name or "") if isinstance(error, ImportError) else ""
    return f"; {CHANGES[2]} since API 2" if missing.partition(".")[0] == "xtool" else ""


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
