"""``xtool explain``: one image, some texts, some methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from xtool.cli.options import calibration_option, encoder_options, method_options, methods_option, parse_settings
from xtool.cli.terminal import console, json_option, print_json, printable, say

if TYPE_CHECKING:
    from xtool.engine.methods import MethodRequest
    from xtool.explainer import Explainer

MEASURED_FROM = 64
"""With fewer passes it is quicker to start than to measure how long one takes."""


@click.command("explain")
@click.argument("image", type=click.Path(), required=False)
@click.option(
    "--text", "texts", multiple=True, metavar="TEXT", help='What to look for: "dog", "a red car"; repeatable.'
)
@click.option(
    "--against",
    multiple=True,
    metavar="TEXT",
    help='Show where the picture is like the text rather than like this: "a cat", "grass"; repeatable.',
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="TEXT",
    help='Prompt with {label} for texts that are not sentences; "{label}" alone reads them as they are; repeatable.',
)
@methods_option
@encoder_options
@calibration_option
@method_options
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, max_open=True),
    help="Boxes surround what exceeds this fraction of the map's maximum.  [default: what suits the method]",
)
@click.option(
    "--boxes",
    metavar="RULE",
    help="In place of --threshold, a rule that looks at the map: mean, otsu, quantile=0.9 or search=0.8.",
)
@click.option(
    "--words",
    is_flag=False,
    flag_value="removal",
    metavar="[METHOD]",
    help="Also say which words of each text mattered, by what is lost without them, or by METHOD of the encoder's own "
    "(CLIP: chefer, gradeclip).",
)
@click.option("--colour-map", default="turbo", show_default=True, metavar="NAME", help="Any colour map of matplotlib.")
@click.option(
    "-o",
    "--out",
    type=click.Path(),
    help="File to write: a figure (.png, .svg, .pdf, …), or the maps, [methods, texts, height, width] (.npy).",
)
@json_option
def explain_command(
    *,
    image: str | None,
    texts: tuple[str, ...],
    templates: tuple[str, ...],
    methods: tuple[str, ...],
    encoder: str | None,
    loading: dict[str, Any],
    calibration: str | None,
    fit: Any,
    settings: tuple[str, ...],
    features_from: str | None,
    threshold: float | None,
    boxes: str | None,
    against: tuple[str, ...],
    words: str | None,
    colour_map: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Show where a model sees each text in IMAGE: heat map, boxes, and whether it is there at all.

    A bare name such as "dog" is put into a prompt, "an image of a dog."; a sentence is read as it is. Without IMAGE,
    a bundled photograph is explained.

    \b
    xtool explain photo.jpg --text dog --text cat -o out.png
    """
    # Everything that can be wrong with the arguments is said before a model loads.
    from xtool.contracts.specs import PHOTOGRAPHS
    from xtool.engine.methods import parse_methods, require_calibration, resolve_options, suggested_methods
    from xtool.engine.prompts import resolve_templates
    from xtool.engine.text_question import read_texts
    from xtool.errors import UsageError
    from xtool.explainer import Explainer
    from xtool.explanation import FILE_ENDINGS, notes_of
    from xtool.image.files import to_image
    from xtool.metrics.box_rules import box_rule
    from xtool.paint.heat import check_colour_map
    from xtool.paint.save import check_target

    if image is not None and not texts:
        raise UsageError("say what to look for with --text, for example --text dog")
    if out is not None:
        check_target(out, FILE_ENDINGS)
    check_colour_map(colour_map)
    if threshold is not None and boxes is not None:
        raise UsageError("--threshold and --boxes both say how boxes are made; give one of them")
    cut = threshold if boxes is None else boxes
    if cut is not None:
        box_rule(str(cut))
    requests = parse_methods(methods or suggested_methods()[:1], parse_settings(settings), features_from=features_from)
    filled = resolve_templates(templates)
    picture, own, shows = _first_sample() if image is None else (to_image(image), (), PHOTOGRAPHS)
    texts = texts or own
    read_texts((*texts, *against), filled)

    from xtool.engine.encoders import load_encoder

    loaded = load_encoder(encoder, shows=shows, calibration=calibration, **loading)
    if calibration is not None:
        require_calibration(calibration, [resolve_options(request, loaded.info, loaded.device) for request in requests])
    explainer = Explainer(picture, loaded, fit=fit, shows=shows)
    from xtool.cli.progress import pass_bar

    asked = len(texts) * (2 if against else 1)
    with pass_bar(_announced(explainer, requests, asked)) as on_pass:
        explanations = explainer.explain(
            texts, requests, against=against, templates=filled, words=words, on_pass=on_pass
        )
    if out is not None:
        explanations.save(out, cut, colour_map)
    if as_json:
        print_json({"file": out, "explanations": [e.as_json(cut) for e in explanations]})
        return
    from xtool.cli.tables import explanation_table, understood_lines, word_lines

    terminal = console()
    terminal.print(explanation_table(explanations, cut))
    for line in [*understood_lines(explanations[0].understood), *word_lines(explanations[0])]:
        terminal.print(line)
    for note in notes_of(explanations):
        click.secho(printable(note), err=True, fg="yellow", bold=True)
    if not loaded.info.trained:
        say(f"{loaded.info.name} has untrained weights: its maps are meaningless.")
    say(f"written: {out}" if out else "no figure written; -o out.png draws one")


def _announced(explainer: Explainer, requests: Sequence[MethodRequest], texts: int) -> int:
    """The passes to expect; where they will take long, people are told before they start."""
    from xtool.engine.cost import Estimate, seconds_per_pass

    encoder = explainer.encoder
    passes = explainer.expected_passes(requests, texts)
    if encoder.device.type == "cpu" and passes >= MEASURED_FROM:
        estimate = Estimate(passes, passes * seconds_per_pass(encoder), encoder.device.type)
        if estimate.slow:
            minutes = estimate.seconds / 60
            told = f"{minutes:.0f} minutes" if minutes >= 1.5 else f"{estimate.seconds:.0f} seconds"
            say(
                f"This takes up to {passes:,} passes through {encoder.info.name}, about {told} on this CPU. "
                "Ctrl-C stops it; `xtool methods NAME` shows options that need fewer."
            )
    return passes


def _first_sample() -> tuple[Any, tuple[str, ...], str]:
    """A bundled picture, the name of something in it and of something that is not, and what kind of picture it is."""
    from xtool.datasets.opening import example_name, open_dataset, shown_by

    dataset = open_dataset(example_name())
    sample = dataset[0]
    say(f"No image given: explaining {sample.id} of {dataset.name}.")
    texts = tuple(name for name in (sample.label, sample.absent) if name)
    return sample.open(), texts, shown_by(dataset)
