"""``xtool new-plugin``: start a plugin."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["method", "encoder", "features", "dataset"]),
    default="method",
    show_default=True,
    help="What the plugin contributes.",
)
@click.argument("directory", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path), default=Path())
def new_plugin_command(*, name: str, kind: str, directory: Path) -> None:
    """Write a complete plugin called NAME, with its tests, into a new folder under DIR."""
    from xtool.scaffold.write import TRY_IT, new_plugin

    written = new_plugin(name, kind, directory)
    folder = next(path.parent for path in written if path.name == "pyproject.toml")
    for path in written:
        click.echo(f"  {path}")
    spec = folder.name.removeprefix("xtool-")
    click.echo(
        f"\nNext:\n  cd {folder}\n  uv pip install -e . --group test\n  pytest\n  {TRY_IT[kind].format(spec=spec)}"
    )
