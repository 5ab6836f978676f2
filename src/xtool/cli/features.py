"""``xtool features``: the feature maps that an encoder computes, as a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xtool.cli.options import encoder_options, fit_option
from xtool.cli.terminal import console, json_option, print_json, say

if TYPE_CHECKING:
    from PIL import Image

    from xtool.paint.feature_grid import FeatureGrid

SHOWN = 16


@click.command("features")
@click.argument("image", type=click.Path(), required=False)
@click.option("--list", "as_list", is_flag=True, help="List feature extractors.")
@encoder_options
@click.option("--features", default="auto", show_default=True, help="Feature extractor; --list shows them.")
@click.option("--layer", default="auto", show_default=True, help="Layer of the encoder; auto is its default.")
@click.option("--pca", type=click.IntRange(1), metavar="K", help="Show the first K principal components.")
@click.option(
    "--maps", "number", type=click.IntRange(1), default=SHOWN, show_default=True, help="How many maps at most."
)
@fit_option
@click.option(
    "--colour-map", default="viridis", show_default=True, metavar="NAME", help="Any colour map of matplotlib."
)
@click.option("-o", "--out", type=click.Path(), help="Figure to write: .png, .svg, .pdf, …")
@json_option
def features_command(
    *,
    image: str | None,
    as_list: bool,
    encoder: str | None,
    loading: dict[str, Any],
    features: str,
    layer: str,
    pca: int | None,
    number: int,
    fit: Any,
    colour_map: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Show the feature maps of IMAGE: attention heads, tokens, queries, keys, values, or their principal components.

    Without --pca, the maps that vary most over the image are shown. Without IMAGE, the first sample of the default
    data set.

    \b
    xtool features --list
    xtool features photo.jpg --encoder ViT-B-16 --features queries --pca 8 -o queries.png
    """
    if as_list:
        _list()
        return
    # Everything that can be wrong with the arguments is said before a model loads.
    from xtool.paint.heat import check_colour_map
    from xtool.paint.save import check_target, save_figure

    if out is not None:
        check_target(out)
    check_colour_map(colour_map)
    if features != "auto":
        from xtool.contracts.registry import registry

        registry().feature_extractors.find(features)
    whole = _first_sample() if image is None else _open(image)

    from xtool.engine.encoders import load_encoder

    loaded = load_encoder(encoder, **loading)
    grid, facts = _read(whole, loaded, features=features, layer=layer, pca=pca, number=number, fit=fit)
    if out is not None:
        from xtool.paint.feature_grid import feature_grid_figure

        save_figure(feature_grid_figure(grid, colour_map), out)
    if as_json:
        print_json({**facts, "shown": list(grid.names), "figure": out})
        return
    click.echo(grid.title)
    click.echo(f"shown: {', '.join(grid.names)}")
    if not loaded.info.trained:
        say(f"{loaded.info.name} has untrained weights: its maps are meaningless.")
    say(f"written: {out}" if out else "no figure written; -o out.png draws one")


def _read(
    image: Image.Image, encoder: Any, *, features: str, layer: str, pca: int | None, number: int, fit: Any
) -> tuple[FeatureGrid, dict[str, Any]]:
    import torch

    from xtool.engine.features import build_extractor
    from xtool.engine.layers import AUTO
    from xtool.image.pixels import fit_image, to_pixels
    from xtool.paint.feature_grid import FeatureGrid, most_varied

    info = encoder.info
    name = info.default_features if features == AUTO else features
    where = info.default_layer if layer == AUTO else layer
    extractor = build_extractor(features, layer, pca, info)
    fitted = fit_image(image, info, fit)
    with torch.no_grad():
        maps = extractor.extract(encoder, to_pixels(fitted, encoder)).maps[0].float().cpu().numpy()
    chosen = list(range(min(number, len(maps)))) if pca else sorted(most_varied(maps, number))
    kind = "component" if pca else "head" if name == "attention" else "channel"
    channels, rows, columns = maps.shape
    reduced = f", {channels} principal components" if pca else f", {channels} maps"
    grid = FeatureGrid(
        image=image,
        geometry=fitted.geometry,
        maps=maps[chosen],
        names=tuple(f"{kind} {index + 1}" for index in chosen),
        title=f"{info.name} ({info.weights}), {name} at {where}{reduced} of {rows}×{columns}",
    )
    facts = {"encoder": info.name, "features": name, "layer": where, "pca": pca, "shape": [channels, rows, columns]}
    return grid, facts


def _list() -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from xtool.contracts.registry import registry

    catalogue = registry().feature_extractors
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("name", "plugin", "summary", "encoders"):
        table.add_column(title, no_wrap=title in ("name", "plugin"))
    for item in catalogue:
        name = item.qualified_name if item.spec.name in catalogue.conflicts() else item.spec.name
        table.add_row(name, item.owner, Text(item.spec.summary), " ".join(item.spec.architectures))
    console().print(table)


def _open(path: str) -> Image.Image:
    from xtool.image.files import to_image

    return to_image(path)


def _first_sample() -> Image.Image:
    from xtool.datasets.opening import example_name, open_dataset

    dataset = open_dataset(example_name())
    sample = dataset[0]
    say(f"No image given: showing {sample.id} of {dataset.name}.")
    return sample.open()
