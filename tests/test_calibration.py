"""The verdict: from which evidence on a text is present, made from runs, kept in files, and shown with its doubts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import xtool
from xtool.cli import main
from xtool.engine.calibration import calibration_for
from xtool.engine.calibration_file import CalibrationFile
from xtool.engine.encoders import CountedEncoder
from xtool.engine.methods import parse_methods, resolve_options
from xtool.engine.prompts import embed_labels
from xtool.errors import UsageError
from xtool.paint.verdicts import Verdict
from xtool.plugin import Calibration, Understanding, load_encoder
from xtool.runs.calibration import Evidence, best_bar, calibrate, unsure_band, validated
from xtool.runs.run import Run
from xtool.testing.planted import PlantedCNN, planted_image

PLANTED_PLUGIN = Path(__file__).parent / "planted_plugin"


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from xtool.contracts.registry import registry

    monkeypatch.syspath_prepend(PLANTED_PLUGIN)
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "clip,cam,tiny,timm,photo")
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.fixture
def picture() -> Image.Image:
    return planted_image({"red": (8, 8, 32, 32)})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Twelve images, each with a colour that is there and one that is not."""
    monkeypatch.setattr("xtool.runs.calibration.LEAST", 12)
    methods = ["colourcam", "colourcam:flip=true", "everywhere"]
    return xtool.compare("patches:whole", methods=methods, encoder="planted-cnn", out=tmp_path / "run")


def calibration(**other: Any) -> Calibration:
    return Calibration(**{"method": "colourcam", "bar": 0.5, "absent_below": 0.4, "present_above": 0.6, **other})


# bars and bands, worked out by hand


def test_the_bar_lies_half_way_in_the_gap_between_absent_and_present() -> None:
    assert best_bar(np.array([0.6, 0.9]), np.array([0.1, 0.2])) == pytest.approx(0.4)


def test_the_bar_has_the_best_balanced_accuracy_where_texts_overlap() -> None:
    # Above 0.15: 4 of 4 and 1 of 2 right, 0.75. Above 0.65: 3 of 4 and 2 of 2, 0.875. Above 0.75: 2 of 4 and all, 0.75.
    assert best_bar(np.array([0.3, 0.7, 0.8, 0.9]), np.array([0.1, 0.6])) == pytest.approx(0.65)


def test_a_class_with_many_texts_weighs_no_more_than_one_with_few() -> None:
    # Plain accuracy would put the bar below everything, and be right in 100 of 101.
    assert best_bar(np.linspace(0.5, 1.5, 100), np.array([0.4])) == pytest.approx(0.45)


def test_of_equally_good_bars_the_middle_one_is_taken() -> None:
    # 0.15, 0.35 and 0.55 are right in 3/4 each; 0.25 and 0.45 in 1/2.
    present, absent = np.array([0.2, 0.4, 0.6, 0.6]), np.array([0.1, 0.3, 0.5, 0.1])
    assert best_bar(present, absent) == pytest.approx(0.35)


def test_evidence_that_is_always_the_same_has_itself_as_its_bar() -> None:
    assert best_bar(np.array([0.3, 0.3]), np.array([0.3])) == 0.3


def test_the_band_reaches_from_the_lowest_of_present_to_the_highest_of_absent_texts() -> None:
    present, absent = np.linspace(0.2, 1.2, 101), np.linspace(-0.6, 0.4, 101)
    assert unsure_band(present, absent, 0.3) == pytest.approx((0.25, 0.35))


def test_the_band_fills_the_gap_where_there_is_one_and_always_holds_the_bar() -> None:
    present, absent = np.linspace(1, 2, 101), np.linspace(0, 0.5, 101)
    assert unsure_band(present, absent, 0.75) == pytest.approx((0.475, 1.05))
    assert unsure_band(present, absent, 1.2) == pytest.approx((0.475, 1.2))


def test_accuracy_is_that_of_images_which_did_not_choose_the_bar() -> None:
    names = [f"{number}.jpg" for number in range(40)]
    apart = Evidence(list(np.linspace(1, 2, 40)), list(np.linspace(0, 0.5, 40)), names)
    assert validated(apart) == (1.0, (1.0, 1.0))
    # One stray on each side. A bar at 0.2 is right with one of them, but without that one the best bar is above it.
    strays = Evidence([0.3] + [0.9] * 39, [0.1] * 39 + [0.5], names)
    assert best_bar(np.array(strays.present), np.array(strays.absent)) == pytest.approx(0.2)
    value, (low, high) = validated(strays)
    assert value == pytest.approx((39 / 40 + 39 / 40) / 2)
    assert low < value <= high


def test_texts_of_one_photograph_choose_no_bar_for_each_other() -> None:
    """Each photograph has a level of its own, so that only a bar from the photograph itself would be right."""
    levels = np.repeat(np.arange(20.0), 5)
    names = [f"{level:.0f}.jpg" for level in levels]
    value, _ = validated(Evidence(list(levels + 0.1), list(levels), names))
    assert value < 0.6


def test_bounds_must_ascend() -> None:
    with pytest.raises(ValueError, match="must ascend"):
        calibration(bar=0.7)


# from a run to a verdict


def test_a_run_gives_bounds_for_methods_with_evidence_and_rows_that_draw_otherwise_share_them(run: Run) -> None:
    found = calibrate([run])
    assert (found.encoder.name, found.datasets) == ("planted-cnn", ["patches:whole"])
    (bounds,) = found.bounds
    assert (bounds.method, bounds.images, bounds.samples) == ("colourcam", 12, 12)
    pairs = [record.values["presence_auroc"] for record in run.records() if record.method == "colourcam"]
    lowest, highest = min(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    assert highest < lowest, "a planted colour has more evidence than one that is not there"
    assert bounds.bar == pytest.approx((lowest + highest) / 2)
    assert bounds.balanced_accuracy == 1.0


def test_a_calibration_goes_from_the_command_line_into_explain_and_compare(
    run: Run, picture: Image.Image, tmp_path: Path
) -> None:
    photo, file = tmp_path / "red.png", tmp_path / "bounds.json"
    picture.save(photo)
    done = CliRunner().invoke(main, ["calibrate", str(run.path), "-o", str(file)])
    assert done.exit_code == 0, done.output
    assert "100.0% [100.0%, 100.0%]" in done.output
    asked = ["--encoder", "planted-cnn", "--methods", "colourcam", "--calibration", str(file)]
    told = CliRunner().invoke(main, ["explain", str(photo), "--text", "red", "--text", "blue", "--json", *asked])
    (answer,) = json.loads(told.stdout)["explanations"]
    assert [text["verdict"] for text in answer["texts"]] == ["present", "absent"]
    out = tmp_path / "again"
    CliRunner().invoke(main, ["compare", "--dataset", "patches", "--out", str(out), *asked], catch_exceptions=False)
    (described,) = Run.open(out).identity.methods
    assert described["calibration"]["bar"] == pytest.approx(CalibrationFile.read(file).bounds[0].bar)


def test_a_calibration_is_written_beside_the_run_unless_told_otherwise(run: Run) -> None:
    assert CliRunner().invoke(main, ["calibrate", str(run.path), "--json"]).exit_code == 0
    assert load_encoder("planted-cnn", calibration=run.path / "calibration.json").info.calibrations


def test_too_few_images_and_methods_without_evidence_calibrate_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xtool.runs.calibration.LEAST", 13)
    with pytest.raises(UsageError, match="12 images with absent texts are too few"):
        calibrate([run])
    blind = xtool.compare("patches", methods=["everywhere"], encoder="planted-cnn", out=tmp_path / "blind")
    with pytest.raises(UsageError, match="nothing to calibrate"):
        calibrate([blind])


def test_runs_of_different_encoders_are_not_mixed(run: Run, tmp_path: Path) -> None:
    encoder = PlantedCNN(input_size=(32, 32))
    other = xtool.compare("patches", methods=["colourcam"], encoder=encoder, out=tmp_path / "other")
    with pytest.raises(UsageError, match=r"planted-cnn \(planted, 32×32 pixels\), and .* 64×64 pixels"):
        calibrate([run, other])


def test_runs_of_an_earlier_xtool_are_refused(run: Run) -> None:
    path = run.path / "manifest.json"
    path.write_text(path.read_text("utf-8").replace('"schema_version": 3', '"schema_version": 1'), "utf-8")
    with pytest.raises(UsageError, match="earlier xtool, which recorded other evidence"):
        calibrate([Run.open(run.path)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"encoder": {"name": "RN50"}}, "it is for RN50, and this is planted-cnn"),
        ({"encoder": {"weights": "other"}}, "it is for the weights other, and these are planted"),
        ({"encoder": {"input_size": [32, 64]}}, "for an input of 32×64 pixels, and this is 64×64"),
        ({"schema_version": 9}, "is not a calibration file as `xtool calibrate` writes it: schema_version"),
        ({"bounds": []}, "is not a calibration file as `xtool calibrate` writes it: bounds"),
        (None, "is not a calibration file as `xtool calibrate` writes it"),
    ],
)
def test_a_file_that_does_not_fit_the_encoder_is_refused(
    run: Run, tmp_path: Path, change: dict[str, Any] | None, told: str
) -> None:
    whole = calibrate([run]).model_dump(mode="json")
    for key, value in (change or {}).items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
    path = tmp_path / "calibration.json"
    path.write_text("not JSON" if change is None else json.dumps(whole), "utf-8")
    with pytest.raises(UsageError, match=told):
        load_encoder("planted-cnn", calibration=path)


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ("everywhere", "everywhere: it is for colourcam"),
        ("colourcam:power=2", "it was made with power=1.0, not 2.0"),
        ("vlscore:present_above=base", "vlscore:present_above=base: it is for colourcam"),
    ],
)
def test_a_file_for_none_of_the_methods_is_refused(
    run: Run, picture: Image.Image, tmp_path: Path, methods: str, told: str
) -> None:
    picture.save(tmp_path / "red.png")
    file = tmp_path / "bounds.json"
    file.write_text(calibrate([run]).model_dump_json(), "utf-8")
    asked = ["--text", "red", "--encoder", "planted-cnn", "--methods", methods, "--calibration", str(file)]
    done = CliRunner().invoke(main, ["explain", str(tmp_path / "red.png"), *asked])
    assert done.exit_code == 2
    assert "fits none of the methods" in done.output
    assert told in done.output


def test_a_missing_file_is_told_before_a_model_loads() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json cannot be read: No such file"):
        load_encoder("planted-cnn", calibration="nowhere.json")


# which calibration holds


@pytest.mark.parametrize(
    ("method", "holds"),
    [
        ("vlscore", True),
        ("vlscore:temperature=0.2:contrast=false:cap=false:flip=true:refine=pamr", True),
        ("vlscore:layer=layer1", True),
        ("vlscore:top_k=3", False),
        ("vlscore:base=blur", False),
        ("vlscore:pca=2", False),
        ("vlscore:present_above=base", False),
        ("vlscore:present_above=0.1", False),
        ("colourcam", False),
    ],
)
def test_a_calibration_holds_for_the_evidence_that_it_was_made_with(method: str, holds: bool) -> None:
    info = replace(PlantedCNN().info, calibrations=(calibration(method="vlscore"),))
    (request,) = parse_methods([method])
    assert (resolve_options(request, info).calibration is not None) is holds


def test_the_first_calibration_that_fits_is_used_and_options_that_are_gone_fit_nothing() -> None:
    three = calibration(method="vlscore", options={"top_k": 3})
    gone = calibration(method="vlscore", options={"of_an_earlier_version": 1})
    info = replace(PlantedCNN().info, calibrations=(gone, three, calibration(method="vlscore", bar=0.45)))
    (request,) = parse_methods(["vlscore:top_k=3"])
    assert calibration_for("vlscore", resolve_options(request, info).config, info) is three


# what people are told


def explained(image: Image.Image, texts: Sequence[str], *bounds: Calibration, methods: str = "colourcam") -> Any:
    return xtool.explain(image, texts, methods=methods, encoder=CountedEncoder(PlantedCNN(), bounds))


def test_evidence_inside_the_band_is_unsure_and_the_bar_decides_what_counts(picture: Image.Image) -> None:
    evidence = float(explained(picture, ["red"]).scores[0])
    for below, bar, above, verdict, present in (
        (-0.2, -0.1, +0.1, Verdict.UNSURE, True),
        (-0.2, +0.1, +0.2, Verdict.UNSURE, False),
        (+0.1, +0.2, +0.3, Verdict.ABSENT, False),
        (-0.3, -0.2, -0.1, Verdict.PRESENT, True),
    ):
        bounds = calibration(absent_below=evidence + below, bar=evidence + bar, present_above=evidence + above)
        found = explained(picture, ["red"], bounds)
        assert (found.verdicts, found.present.tolist()) == ((verdict,), [present])
        assert found.scores[0] == pytest.approx(evidence), "evidence does not depend on the bar"
        assert found.calibration == bounds


def test_no_bar_makes_present_what_the_method_itself_does_not_find(picture: Image.Image) -> None:
    found = explained(picture, ["blue"], calibration(absent_below=-3, bar=-2, present_above=-1))
    assert (found.present.tolist(), found.verdicts) == ([False], (Verdict.ABSENT,))


class KnowsColours(PlantedCNN):
    """The planted encoder, which says that it knows red and green and nothing else."""

    def understand(self, texts: Sequence[str]) -> list[Understanding]:
        return [self._understood(text) for text in texts]

    def _understood(self, text: str) -> Understanding:
        words = [colour for colour in ("red", "green") if colour in text]
        if not words:
            return Understanding(text, known=False, reason="it is no colour")
        return Understanding(text, known=True, nearest=((words[0], 0.75), ("pink", 0.25)), taken_for=(words[0],))


def test_a_text_that_is_not_known_is_never_present_and_says_why(picture: Image.Image) -> None:
    found = xtool.explain(picture, ["red", "sadness"], methods="colourcam", encoder=KnowsColours())
    assert found.verdicts == (Verdict.PRESENT, Verdict.NOT_UNDERSTOOD)
    assert found.present.tolist() == [True, False]
    assert [each.text for each in found.understood] == ["red", "sadness"], "as typed, not as prompted"
    assert [panel.verdict.faded for panel in found.panels()] == [False, True]
    red, sadness = (text["understood"] for text in found.as_json()["texts"])
    assert (red["known"], red["nearest"]) == (True, (("red", 0.75), ("pink", 0.25)))
    assert (sadness["known"], sadness["reason"]) == (False, "it is no colour")
    assert "'sadness' text not understood" in repr(found)


def test_a_method_that_cannot_tell_does_not_understand_an_unknown_text_either(picture: Image.Image) -> None:
    found = xtool.explain(picture, ["red", "sadness"], methods="everywhere", encoder=KnowsColours())
    assert found.present is None
    assert found.verdicts == (Verdict.CANNOT_TELL, Verdict.NOT_UNDERSTOOD)


def test_an_encoder_that_cannot_say_what_it_knows_is_not_asked(picture: Image.Image) -> None:
    found = explained(picture, ["red", "sadness"])
    assert found.understood == (None, None)
    assert found.as_json()["texts"][1]["understood"] is None
    assert found.verdicts[1] is Verdict.ABSENT


def test_figures_say_under_a_text_what_it_was_taken_for(picture: Image.Image) -> None:
    found = xtool.explain(picture, ["red", "sadness"], methods="colourcam", encoder=KnowsColours())
    written = [text.get_text() for axes in found.figure().axes for text in axes.texts]
    assert "taken for red 75%, pink 25%" in written
    assert "not known: it is no colour" in written


def test_names_that_are_not_known_stay_out_of_a_labels_mean() -> None:
    encoder = KnowsColours()
    red, both, unknown = embed_labels(encoder, [("red",), ("Ruber ruber", "red"), ("a", "b")], ["{label}"])
    assert torch.equal(red, both)
    assert unknown.norm() == pytest.approx(1), "a label of which no name is known has a vector all the same"
