"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from xtool.cli.completion import complete_datasets, complete_encoders, complete_methods
from xtool.errors import regular

F = TypeVar("F", bound=Callable[..., Any])

LOADING = ("pretrained", "seed", "device", "dtype", "compile", "cache_dir", "input_size", "classes")
"""Arguments of :func:`xtool.load_encoder` other than the name."""


def encoder_options(command: F) -> F:
    """Which encoder, and how it is loaded: given to ``command`` as ``encoder`` and ``loading``."""

    @functools.wraps(command)
    def gathered(**given: Any) -> Any:
        loading = {name: given.pop(name) for name in LOADING}
        return command(**given, loading=loading)

    options = (
        click.option(
            "--classes",
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="Names of the classes of a classifier of your own: one a line in the order of its outputs, or JSON.",
        ),
        click.option(
            "--input-size",
            type=click.IntRange(min=1),
            metavar="N",
            help="Give the model images of N×N pixels; by default of its own size. More pixels show smaller things.",
        ),
        click.option("--cache-dir", type=click.Path(file_okay=False), help="Folder for downloaded weights."),
        click.option(
            "--compile", is_flag=True, help="Compile the image tower of CLIP's CNNs: a minute once, then faster passes."
        ),
        click.option(
            "--dtype",
            type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
            default="auto",
            help="Precision of forward passes without gradients: the thousands of masked images.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
        click.option("--seed", type=int, default=0, show_default=True, help="Seed of random weights."),
        click.option(
            "--pretrained",
            default="auto",
            metavar="TAG|FILE|none",
            help="Weights: a tag, a checkpoint file, or none for random weights; by default the encoder's own.",
        ),
        click.option(
            "--encoder",
            metavar="NAME",
            shell_complete=complete_encoders,
            help="`xtool encoders` lists them and says which is the default. Also a folder, or ORG/NAME on the Hugging "
            "Face hub.",
        ),
    )
    for option in options:
        gathered = option(gathered)
    return cast("F", gathered)


def calibration_option(command: F) -> F:
    """How much evidence makes a text present: given to ``command`` as ``calibration``, for :func:`load_encoder`."""
    return click.option(
        "--calibration",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="File written by `xtool calibrate`: how much evidence makes a text present.",
    )(command)


def methods_option(command: F) -> F:
    """Which methods: given to ``command`` as ``methods``."""
    return click.option(
        "--methods",
        "--method",
        "methods",
        multiple=True,
        metavar="NAME[:OPTION=VALUE…],…",
        shell_complete=complete_methods,
        help="Separated by commas, or repeated; `xtool methods` lists them and says which are taken by default.",
    )(command)


def dataset_options(command: F) -> F:
    """Which data set, and where it is: given to ``command`` as ``dataset`` and ``data_dir``."""
    for option in (
        click.option("--data-dir", type=click.Path(), help="Where the data set is."),
        click.option(
            "--dataset", metavar="NAME[:SPLIT]", shell_complete=complete_datasets,
            help="`xtool datasets` lists them and says which is the default.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def fit_option(command: F) -> F:
    """How the image fills the input: given to ``command`` as ``fit``."""
    return click.option(
        "--fit",
        type=click.Choice(["squash", "crop", "pad"]),
        default="squash",
        show_default=True,
        help="How an image fills the model's input.",
    )(command)


def method_options(command: F) -> F:
    """Options of the methods, and the fit of the image."""
    for option in (
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_load_config,
            help="TOML file with these options; the command line wins.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="METHOD.OPTION=VALUE",
            help="Option for every row of a method; repeatable.",
        ),
        click.option(
            "--features-from",
            metavar="ENCODER[@WEIGHTS]",
            shell_complete=complete_encoders,
            help="Another encoder whose feature maps the methods take, to be judged by this one: photo, RN50@openai.",
        ),
        fit_option,
    ):
        command = option(command)
    return command


def parse_settings(pairs: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``("vlscore.temperature=0.02",)`` → ``{"vlscore": {"temperature": "0.02"}}``."""
    settings: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        path, equals, value = pair.partition("=")
        method, dot, option = path.strip().rpartition(".")
        if not (equals and dot and method and option):
            raise click.BadParameter(f"{pair!r} must look like method.option=value", param_hint="--set")
        settings.setdefault(method, {})[option] = None if value.strip().lower() == "none" else value.strip()
    return settings


def parse_shard(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int]:
    """``"2/8"`` → ``(2, 8)``."""
    i, slash, n = value.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal()):
        raise click.BadParameter(f"{value!r} must look like 2/8")
    return int(i), int(n)


def _load_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Make a TOML file's values the defaults of this command. Tables under ``[options]`` become ``--set``."""
    if path is None:
        return
    try:
        given = tomllib.loads(regular(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"{path}: {error}") from error
    tables = given.pop("options", {})
    if not isinstance(tables, dict) or not all(isinstance(options, dict) for options in tables.values()):
        raise click.BadParameter(f"{path}: options must be tables, as in [options.vlscore]")
    settings = [f"{method}.{option}={value}" for method, options in tables.items() for option, value in options.items()]
    known = {(parameter.name or "").replace("_", "-"): parameter for parameter in context.command.params}
    defaults: dict[str, Any] = {"settings": settings} if settings else {}
    for key, value in given.items():
        parameter = known.get(key.replace("_", "-"))
        if parameter is None or key == "config":
            raise click.BadParameter(f"{path}: unknown option {key!r}; there are {', '.join(sorted(known))}")
        values = value if isinstance(value, list) and parameter.multiple else [value]
        if any(isinstance(each, dict | list) for each in values):
            wanted = "one value or a list of values" if parameter.multiple else "one value"
            raise click.BadParameter(f"{path}: {key} must be {wanted}, not {value!r}")
        wrapped = values if parameter.multiple else value
        defaults[parameter.name or key] = wrapped
    context.default_map = {**(context.default_map or {}), **defaults}
