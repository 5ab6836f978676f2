"""Writes ``docs/reference/`` from the live program: specs, option models, metrics, commands and signatures.

    uv run python docs/generate_reference.py

The pages are committed; ``tests/test_docs.py`` makes them again and compares. Only plugins of this repository are
described, so that what else is installed does not matter. Neither torch nor open_clip is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).resolve().parent
OWNERS = ("core", "app", "clip", "vlscore", "cam", "vit", "tiny", "timm", "transformers")
NOTE = "<!-- Written by docs/generate_reference.py. Do not edit: change the code and run it again. -->"


def pages() -> dict[str, str]:
    """Every page by its name, as it should be now."""
    written = {
        "methods.md": methods_page(),
        "features.md": features_page(),
        "encoders.md": encoders_page(),
        "datasets.md": datasets_page(),
        "metrics.md": metrics_page(),
        "commands.md": commands_page(),
        "hooks.md": hooks_page(),
        "python.md": python_page(),
    }
    return {name: f"{NOTE}\n\n{text.strip()}\n" for name, text in written.items()}


def main() -> None:
    """Write the pages, and name those that changed."""
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"written: docs/reference/{name}")


def methods_page() -> str:
    from xtool.contracts.registry import registry
    from xtool.engine.methods import config_class

    lines = [
        "# Methods",
        "",
        "Every saliency method of this repository, as `xtool methods` lists them. Options go after the name:",
        "`--methods vlscore:top_k=256,gradcam`, or are set for every row of a method: `--set vlscore.top_k=64`;",
        "[Setting options](../howto/options.md) says when to use which.",
        "C is the number of feature maps. *Forwards* are images through the encoder for one image and one text; more",
        "texts cost no more, except where an option chooses feature maps for each text.",
        "",
    ]
    found = ours(registry().saliency_methods)
    rows = [
        (f"[`{item.spec.name}`](#{slug(item.spec.name)})", item.owner, item.spec.forwards, item.spec.summary)
        for item in found
    ]
    lines += table(("name", "plugin", "forwards", "what it does"), rows)
    for item in found:
        spec = item.spec
        lines += ["", f"## `{spec.name}` {{ #{slug(spec.name)} }}", "", spec.summary, ""]
        lines += [f"- Plugin: `{item.owner}`"]
        lines += [f"- Encoders: {', '.join(spec.architectures)}"]
        lines += [f"- Requires: {', '.join(sorted(spec.requires)) or 'nothing but the encoder'}"]
        lines += [f"- Forwards per image: {spec.forwards}"]
        lines += [f"- Paper: {spec.paper or 'none'}", ""]
        config = config_class(spec)
        options = [
            (f"`{name}`", f"`{told.default}`", f"`{kind(told.annotation)}`", told.description or "")
            for name, told in config.model_fields.items()
        ]
        lines += table(("option", "default", "type", "meaning"), options) if options else ["It has no options."]
        for preset, values in config.presets.items():
            given = ", ".join(f"`{key}={value}`" for key, value in values.items())
            lines += ["", f"Preset `{spec.name}:preset={preset}`: {given}. Options given with it override it."]
    return "\n".join(lines)


def features_page() -> str:
    from xtool.contracts.registry import registry

    lines = [
        "# Feature extractors",
        "",
        "Intermediate activations of an encoder as maps [B, C, h, w]. `xtool features --list` lists them; methods that",
        "require features take one with `features=NAME`, a layer with `layer=NAME`, and `pca=K` for the first K",
        "principal components of each image, or `clusters=K` for K sums of maps that look alike.",
        "",
    ]
    rows = [
        (f"`{item.spec.name}`", item.owner, ", ".join(item.spec.architectures), item.spec.summary)
        for item in ours(registry().feature_extractors)
    ]
    return "\n".join(lines + table(("name", "plugin", "encoders", "what it reads"), rows))


def encoders_page() -> str:
    from xtool.contracts.registry import registry

    found = [item for item in ours(registry().encoders) if item.spec.default_pretrained]
    rows = [
        (f"`{item.spec.name}`", item.owner, item.spec.family, item.spec.knows, f"`{item.spec.default_pretrained}`",
         item.spec.summary)
        for item in found
    ]  # fmt: skip
    lines = [
        "# Encoders",
        "",
        "`xtool encoders` lists families, `xtool encoders --all` every encoder, with every model of the installed",
        "open_clip.",
        "These have default weights; the others need `--pretrained` with a tag, a checkpoint file or",
        "`none`. Weights of `clip` and `timm` are downloaded when they are not cached; those of `photo`",
        "and `tiny` are installed with their packages.",
        "",
        *table(("name", "plugin", "family", "knows", "default weights", "what it is"), rows),
    ]
    return "\n".join(lines)


def datasets_page() -> str:
    from xtool.contracts.registry import registry

    lines = ["# Data sets", "", "As `xtool datasets` lists them. `--dataset NAME:SPLIT` picks a split.", ""]
    for item in ours(registry().datasets):
        spec = item.spec
        lines += [f"## `{spec.name}` {{ #{slug(spec.name)} }}", "", spec.summary, ""]
        lines += [f"- Plugin: `{item.owner}`"]
        lines += [f"- Splits: {', '.join(f'`{split}`' for split in spec.splits) or 'see below'}"]
        lines += [f"- Needs `--data-dir`: {'yes' if spec.needs_data_dir else 'no'}"]
        if spec.paper:
            lines += [f"- Paper: {spec.paper}"]
        module, _, factory = spec.factory.partition(":")
        tree = parsed(module)
        lines += ["", prose(ast.get_docstring(tree) or ""), "", prose(_docstring(tree, factory)), ""]
    return "\n".join(lines)


def metrics_page() -> str:
    from xtool.metrics import counting
    from xtool.metrics.protocols import PROTOCOLS
    from xtool.metrics.registry import METRICS

    rows = [
        (info.title, f"`{info.name}`", info.unit, info.better, asked, info.summary, info.paper or "–")
        for info, asked in (
            *((metric.info, f"`--metric {metric.info.name}`" if metric.on_request else "always") for metric in METRICS),
            *((info, "`report --counts`") for info in (counting.ERROR, counting.F1)),
        )
    ]
    sweeps = [
        (f"`{name}`", protocol.info.summary,
         f"{protocol.thresholds[0]:g} … {protocol.thresholds[-1]:g}, {len(protocol.thresholds)} in all",
         ", ".join(f"IoU {'>' if protocol.strict else '≥'} {delta:g}" for delta in protocol.deltas),
         protocol.info.paper)
        for name, protocol in PROTOCOLS.items()
    ]  # fmt: skip
    lines = [
        "# Metrics",
        "",
        "What is measured, its unit and which way is better. [Protocols](../protocols.md) says what each means and",
        "what it does not.",
        "",
        *table(("column", "JSON", "unit", "direction", "measured", "what it says", "source"), rows),
        "",
        "## Localization protocols",
        "",
        *table(("protocol", "what it says", "thresholds, fractions of the maximum", "found at", "source"), sweeps),
    ]
    return "\n".join(lines)


def commands_page() -> str:
    from xtool.cli import main as program

    lines = ["# Commands", "", "As `xtool --help` and `xtool COMMAND --help` show them.", ""]
    for path, command in commands(program):
        name = " ".join(("xtool", *path))
        lines += [f"{'#' * (2 + max(0, len(path) - 1))} `{name}` {{ #{'-'.join(path) or 'xtool'} }}", ""]
        lines += [prose(_help(command)), ""]
        rows = [row for parameter in command.params if (row := _parameter(parameter)) is not None]
        lines += [*table(("option", "value", "default", "meaning"), rows), ""] if rows else []
    return "\n".join(lines)


def hooks_page() -> str:
    from xtool.contracts.hookspecs import PROJECT
    from xtool.contracts.registry import API_VERSION, DISABLE_VARIABLE, ENTRY_POINT_GROUP, HOOKS

    lines = [
        "# Hooks and specs",
        "",
        f"A plugin is an entry point in the group `{ENTRY_POINT_GROUP}` that names a module with hooks, marked with",
        f"`xtool.plugin.hookimpl`. This is API version {API_VERSION}, which a plugin may state as `XTOOL_API`;",
        "[What is stable](../plugins/stable.md) says what it covers.",
        f"The environment variable `{DISABLE_VARIABLE}` keeps plugins out by name, separated by commas; so does",
        f"`{PROJECT} --no-plugin NAME`.",
        "",
    ]
    tree = parsed("xtool.contracts.hookspecs")
    for hook, spec in HOOKS.items():
        lines += [f"## `{hook}()` {{ #{slug(hook)} }}", ""]
        lines += [
            f"Yields [`{spec.__name__}`](#{slug(spec.__name__)}). {prose(_docstring(tree, hook)).splitlines()[0]}"
        ]
        example = re.findall(r"^(?:>>>|\.\.\.) ?(.*)$", _docstring(tree, hook), re.MULTILINE)
        lines += ["", "```python", *example, "```", ""]
    tree = parsed("xtool.contracts.specs")
    for spec in HOOKS.values():
        lines += [f"## `{spec.__name__}` {{ #{slug(spec.__name__)} }}", "", prose(_docstring(tree, spec.__name__)), ""]
        lines += [*table(("field", "type", "default", "meaning"), list(_fields(tree, spec.__name__))), ""]
    return "\n".join(lines)


def python_page() -> str:
    import xtool

    lines = [
        "# Python",
        "",
        "Everything that the command line can do. Names are imported when they are first used.",
        "",
    ]
    for name in xtool.__all__:
        tree = parsed(xtool._HOME[name])
        node = _definition(tree, name)
        lines += [f"## `xtool.{name}` {{ #{slug(name)} }}", ""]
        if isinstance(node, ast.FunctionDef):
            lines += ["```python", _signature(node), "```", ""]
        lines += [prose(ast.get_docstring(node) or ""), ""]
        if isinstance(node, ast.ClassDef):
            lines += [*_members(node, tree), ""]
    return "\n".join(lines)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its path, the group itself first."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


def ours(catalogue: Any) -> list[Any]:
    """What this repository's own plugins contribute."""
    return [item for item in catalogue if item.owner in OWNERS]


def table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in ([*titles], ["---"] * len(titles), *cells)]


def slug(name: str) -> str:
    """An anchor that differs for ``gradcam`` and ``gradcam++``."""
    return name.lower().replace("+", "p")


def prose(docstring: str) -> str:
    """A docstring as Markdown: reST's roles and double backticks become plain code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", inspect.cleandoc(docstring)).replace("``", "`")
    text = re.sub(r"\x08\n((?:.+\n?)+)", lambda match: f"```sh\n{match[1].strip()}\n```\n", text)
    text = re.sub(r"^(Args|Raises):\n((?:    .*\n?)+)", _arguments, text, flags=re.MULTILINE)
    return text.strip()


def kind(annotation: Any) -> str:
    """A type as people write it."""
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(str(choice) for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(kind(part) for part in typing.get_args(annotation))
    return {type(None): "none"}.get(annotation, str(getattr(annotation, "__name__", annotation)))


def parsed(module: str) -> ast.Module:
    """A module's syntax tree, without importing it (only the packages around it)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise SystemExit(f"there is no module {module}")
    return ast.parse(Path(spec.origin).read_text("utf-8"))


def _arguments(match: re.Match[str]) -> str:
    """Google style to a list."""
    items = re.sub(r"\n        +", " ", match[2].rstrip())
    listed = re.sub(r"^    (\S+?): ", r"- `\1`: ", items, flags=re.MULTILINE)
    return f"**{match[1]}**\n\n{listed}\n"


def _help(command: click.Command) -> str:
    return command.help or ""


def _parameter(parameter: click.Parameter) -> tuple[str, str, str, str] | None:
    value = (
        parameter.make_metavar(click.Context(click.Command("x"))) if not getattr(parameter, "is_flag", False) else ""
    )
    if isinstance(parameter, click.Argument):
        needed = "required" if parameter.required else "optional"
        return (f"`{(parameter.name or '').upper()}`", "", "", f"Argument; {needed}.")
    assert isinstance(parameter, click.Option)
    if parameter.hidden:
        return None
    shown = "" if _is_nothing(parameter.default) or parameter.is_flag else f"`{parameter.default}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return (names, f"`{value}`" if value else "flag", shown, parameter.help or "")


def _is_nothing(default: Any) -> bool:
    # click tells "no default" as None, as an empty tuple, or (8.2 and later) as a value of its own.
    return default is None or default == () or type(default).__name__ in ("Sentinel", "UNSET")


def _definition(tree: ast.Module, name: str) -> ast.FunctionDef | ast.ClassDef:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name]
    if found:
        return found[-1]  # the ones before it are overloads
    raise SystemExit(f"{name} is not defined where it is said to be")


def _docstring(tree: ast.Module, name: str) -> str:
    return ast.get_docstring(_definition(tree, name)) or ""


def _fields(tree: ast.Module, name: str) -> Iterator[tuple[str, str, str, str]]:
    body = _definition(tree, name).body
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign):
            told = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                told = prose(str(after.value.value)).replace("\n", " ")
            default = f"`{ast.unparse(node.value)}`" if node.value is not None else "required"
            yield f"`{ast.unparse(node.target)}`", f"`{ast.unparse(node.annotation)}`", default, told


def _signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    first, named = node.args.args, node.args.kwonlyargs
    defaults = [*[None] * (len(first) - len(node.args.defaults)), *node.args.defaults]
    parts = [_argument(*pair) for pair in zip(first, defaults, strict=True)]
    parts += ["*"] if named else []
    parts += [_argument(*pair) for pair in zip(named, node.args.kw_defaults, strict=True)]
    return "\n".join((f"def {node.name}(", *(f"    {part}," for part in parts), f"){returns}: ..."))


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    annotated = f": {ast.unparse(argument.annotation)}" if argument.annotation is not None else ""
    value = f" = {ast.unparse(default)}".replace("'", '"') if default is not None else ""
    return f"{argument.arg}{annotated}{value}"


def _members(node: ast.ClassDef, tree: ast.Module) -> list[str]:
    """Fields and public methods of a class, with those of its bases in the same module."""
    lines = []
    bases = {ast.unparse(base) for base in node.bases}
    inherited = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name in bases]
    for item in [*node.body, *(item for base in inherited for item in base.body)]:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
            is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in item.decorator_list)
            told = (ast.get_docstring(item) or "").split("\n\n")[0]
            call = item.name if is_property else f"{item.name}({_arguments_of(item)})"
            lines.append(f"- `{call}`: {prose(told)}" if told else f"- `{call}`")
    names = [row for row in _fields(ast.Module([node], []), node.name) if not row[0].startswith("`_")]
    if names:
        lines = [*table(("field", "type", "default", "meaning"), names), "", *lines]
    return lines


def _arguments_of(node: ast.FunctionDef) -> str:
    return re.sub(r"^(self|cls)(, )?", "", ast.unparse(node.args))


if __name__ == "__main__":
    main()
