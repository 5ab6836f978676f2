"""The program as a user meets it: on the planted encoder and data set, with no other plugin."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from PIL import Image

from xtool.cli import main
from xtool.contracts.registry import registry

COMPARE = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam,everywhere")


def rows(output: str) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in json.loads(output)["rows"]}


def untimed(output: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds_per_image"} for row in json.loads(output)["rows"]]


def test_compare_finds_what_was_planted(xtool: Any) -> None:
    done = xtool(*COMPARE, "--json", "--out", "run")
    assert done.returncode == 0, done.stderr
    whole = json.loads(done.stdout)
    assert (whole["dataset"], whole["encoder"], whole["protocol"]) == ("patches:whole", "planted-cnn", "anybox")
    assert (whole["images"], whole["failed"], whole["run"]) == (12, 0, "run")
    found = rows(done.stdout)
    assert list(found) == ["colourcam", "everywhere"]
    good = found["colourcam"]
    # The patch fills whole cells; the class is the colour itself.
    assert good["gt_known"] == good["top1"] == good["top5"] == good["pointing"] == good["presence"] == 1.0
    assert good["box_iou"] > 0.6  # bilinear slopes around a patch of whole cells
    assert good["swapped"] == 0.0
    assert good["forwards_per_image"] == 1.0
    blind = found["everywhere"]
    assert (blind["gt_known"], blind["top1"], blind["presence"]) == (0.0, 0.0, None)


def test_the_table_goes_to_stdout_and_marks_the_best(xtool: Any) -> None:
    done = xtool(*COMPARE)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.strip().startswith("colourcam"))
    assert "100.0*" in line
    assert "12 images" in done.stdout
    assert "run: runs/" in done.stderr
    assert re.search(r"xtool report (runs/\S+) -o report.html", done.stderr)


def test_optional_metrics_are_measured_when_asked_for(xtool: Any) -> None:
    done = xtool(*COMPARE, "--json", "--out", "run", *("--metric", "pxap"), *("--metric", "insertion"), "--limit", "3")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["colourcam"]["insertion"] > found["everywhere"]["insertion"]
    assert found["colourcam"]["deletion"] is None
    assert found["colourcam"]["pxap"] > 0.9
    assert rows(xtool(*COMPARE, "--json", "--out", "other", "--limit", "1").stdout)["colourcam"]["insertion"] is None


def test_a_metric_that_was_asked_for_in_vain_is_named(xtool: Any) -> None:
    without_masks = ("--dataset", "patches:broken", "--limit", "2", "--out", "run", "--metric", "pxap")
    done = xtool(*COMPARE, *without_masks, "--metric", "energy")
    assert done.returncode == 0, done.stderr
    assert "No pxap: nothing in these data to measure it on" in " ".join(done.stdout.split())
    assert "No energy" not in done.stdout


def test_a_fixed_threshold_holds_for_every_row(xtool: Any) -> None:
    done = xtool(*COMPARE, "--json", "--out", "run", "--threshold", "0.5")
    assert {row["threshold"] for row in rows(done.stdout).values()} == {0.5}


def test_a_killed_run_resumes_to_the_same_table(xtool: Any, tmp_path: Path) -> None:
    expected = untimed(xtool(*COMPARE, "--json", "--out", "whole").stdout)
    process = xtool.start(*COMPARE, "--out", "killed", pause_at=4)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert lines(tmp_path / "killed" / "records.jsonl") == 6  # three images, two methods
    with (tmp_path / "killed" / "records.jsonl").open("ab") as stream:
        stream.write(b'{"index": 11, "method": "colo')  # a line torn by the kill
    done = xtool(*COMPARE, "--json", "--out", "killed", "--resume")
    assert done.returncode == 0, done.stderr
    assert untimed(done.stdout) == expected
    assert lines(tmp_path / "killed" / "records.jsonl") == 24  # nothing whole was computed again


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_ctrl_c_leaves_a_run_that_can_go_on(xtool: Any, tmp_path: Path) -> None:
    process = xtool.start(*COMPARE, "--out", "stopped", pause_at=2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert lines(tmp_path / "stopped" / "records.jsonl") == 2
    assert "--out stopped --resume" in told
    assert "Traceback" not in told
    assert xtool(*COMPARE, "--out", "stopped", "--resume").returncode == 0


def test_shards_merge_into_the_whole(xtool: Any) -> None:
    whole = untimed(xtool(*COMPARE, "--json", "--out", "whole").stdout)
    for i in (1, 2, 3):
        assert xtool(*COMPARE, "--out", f"part{i}", "--shard", f"{i}/3").returncode == 0
    merged = json.loads(xtool("report", "part1", "part2", "part3", "--json").stdout)
    assert len(merged) == 1
    assert untimed(json.dumps(merged[0])) == whole
    twice = xtool("report", "part1", "part1")
    assert twice.returncode == 1
    assert "given twice" in twice.stderr


def test_thresholds_chosen_on_one_run_hold_on_another(xtool: Any) -> None:
    xtool(*COMPARE, "--out", "val", "--shard", "1/2")
    xtool(*COMPARE, "--out", "test", "--shard", "2/2")
    chosen = {row["method"]: row["threshold"] for row in json.loads(xtool("report", "val", "--json").stdout)[0]["rows"]}
    rows = json.loads(xtool("report", "test", "--thresholds-from", "val", "--json").stdout)[0]["rows"]
    assert {row["method"]: row["threshold"] for row in rows} == chosen
    page = xtool("report", "test", "--thresholds-from", "val", "-o", "report.html")
    assert page.returncode == 0, page.stderr
    xtool("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "everywhere", "--out", "other")
    refused = xtool("report", "test", "--thresholds-from", "other")
    assert refused.returncode == 2
    assert "no threshold was chosen for colourcam" in refused.stderr


def test_several_runs_stand_in_one_table(xtool: Any) -> None:
    xtool(*COMPARE, "--out", "a")
    xtool(*COMPARE, "--out", "b", "--limit", "4")
    done = xtool("report", "a", "b")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("colourcam") == 2


def test_bad_images_stop_the_run_or_are_skipped_and_counted(xtool: Any) -> None:
    broken = tuple("patches:broken" if part == "patches" else part for part in COMPARE)
    stopped = xtool(*broken, "--json", "--out", "run")
    assert stopped.returncode == 1
    assert "patch2.png: truncated" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    done = xtool(*broken, "--json", "--out", "run", "--resume", "--on-error", "skip")
    assert done.returncode == 0, done.stderr
    whole = json.loads(done.stdout)
    assert (whole["images"], whole["failed"]) == (10, 2)


def test_another_configuration_in_the_same_directory_is_refused(xtool: Any) -> None:
    xtool(*COMPARE, "--out", "run")
    other = xtool(*COMPARE, "--out", "run", "--resume", "--set", "colourcam.power=2")
    assert other.returncode == 1
    assert "methods[0].config.power: 1.0 in the run, 2.0 now" in other.stderr
    assert xtool(*COMPARE, "--out", "run").returncode == 1


def test_a_toml_file_gives_defaults_and_the_command_line_wins(xtool: Any, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'methods = ["colourcam"]\nencoder = "planted-cnn"\ndataset = "patches"\nlimit = 3\nout = "run"\n'
        "[options.colourcam]\npower = 2.0\n"
    )
    done = xtool("compare", "--config", "run.toml", "--limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 2
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["identity"]["methods"][0]["config"]["power"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("compare", "--encoder", "planted-cmm"), 2, "did you mean planted-cnn"),
        ((*COMPARE, "--set", "colourcam.powr=2"), 2, "did you mean power"),
        ((*COMPARE, "--set", "nonsense"), 2, "method.option=value"),
        ((*COMPARE, "--threshold", "1.5"), 2, "1.5"),
        ((*COMPARE, "--shard", "4/3"), 2, "i/n"),
        ((*COMPARE, "--shard", "x"), 2, "2/8"),
        ((*COMPARE, "--limit", "0"), 2, "at least 1"),
        ((*COMPARE, "--resume"), 2, "--out"),
        ((*COMPARE, "--dataset", "patches:hole"), 2, "no split 'hole'"),
        ((*COMPARE, "--dataset", "imagenet"), 2, "--data-dir"),
        ((*COMPARE, "--dataset", "imagenet", "--data-dir", "nowhere"), 2, "nowhere"),
        ((*COMPARE, "--template", "no label"), 2, "{label}"),
        (("report", "nowhere"), 1, "contains no run"),
        (
            ("explain", "nowhere.png", "--text", "red", "--encoder", "planted-cnn", "--method", "colourcam"),
            1,
            "nowhere",
        ),
        (("explain", "x.png", "--encoder", "planted-cnn"), 2, "--text"),
        (("explain", "https://example.org/x.png", "--text", "red", "--method", "colourcam"), 2, "is a URL"),
        (("methods", "colorcam"), 2, "did you mean colourcam"),
    ],
)
def test_what_makes_no_sense_is_told_without_a_traceback(
    xtool: Any, arguments: tuple[str, ...], code: int, told: str
) -> None:
    done = xtool(*arguments)
    assert done.returncode == code, done.stderr
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_explain_says_where_and_whether(xtool: Any, tmp_path: Path) -> None:
    picture = Image.new("RGB", (128, 96), (128, 128, 128))
    picture.paste((230, 20, 20), (32, 24, 64, 48))
    picture.save(tmp_path / "red.png")
    done = xtool(
        "explain", "red.png", "--text", "red", "--text", "blue", "--encoder", "planted-cnn", "--method", "colourcam",
        "--json", "-o", "out.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (explanation,) = json.loads(done.stdout)["explanations"]
    red, blue = explanation["texts"]
    assert (red["present"], blue["present"], blue["boxes"]) == (True, False, [])
    ((x0, y0, x1, y1),) = red["boxes"]
    assert abs(x0 - 32) <= 8
    assert abs(y0 - 24) <= 8
    assert abs(x1 - 64) <= 8
    assert abs(y1 - 48) <= 8
    with Image.open(tmp_path / "out.png") as figure:
        assert figure.width > 300


@pytest.mark.parametrize(
    ("command", "arguments", "code", "told"),
    [
        ("explain", ("-o", "out.txt"), 2, "must end in one of"),
        ("explain", ("-o", "red.png/out.png"), 1, "is not a folder"),
        ("explain", ("--colour-map", "turb"), 2, "did you mean turbo"),
        ("explain", ("--method", "colorcam"), 2, "did you mean colourcam"),
        ("explain", ("--set", "colourcam.powr=2"), 2, "did you mean power"),
        ("explain", ("--template", "no label"), 2, "{label}"),
        ("explain", ("--text", " "), 2, "at least one text"),
        ("features", ("-o", "out.npy"), 2, "must end in one of"),
        ("features", ("--colour-map", "viridi"), 2, "did you mean viridis"),
        ("features", ("--features", "plantd"), 2, "did you mean planted"),
    ],
)
def test_arguments_are_checked_before_a_model_loads(
    xtool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, arguments: tuple[str, ...], code: int,
    told: str,
) -> None:  # fmt: skip
    loads: list[str] = []
    monkeypatch.setattr("xtool.engine.encoders.load_encoder", lambda name, **options: loads.append(name))
    Image.new("RGB", (64, 64)).save(tmp_path / "red.png")
    own = {"explain": ("--text", "red", "--method", "colourcam"), "features": ()}[command]
    done = xtool(command, "red.png", *own, *arguments)
    assert (done.returncode, loads) == (code, []), done.stderr
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_explain_reads_a_name_as_a_prompt_and_writes_maps(xtool: Any, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (230, 20, 20)).save(tmp_path / "red.png")
    words = ("explain", "red.png", "--text", "red", "--encoder", "planted-cnn", "--method", "colourcam")
    done = xtool(*words, "-o", "maps.npy", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["file"] == "maps.npy"
    assert told["explanations"][0]["texts"][0]["prompts"] == ["an image of a red."]
    assert np.load(tmp_path / "maps.npy").shape == (1, 1, 48, 64)
    shown = xtool(*words)
    assert "read as: an image of a red." in shown.stdout
    assert "read as" not in xtool(*words, "--template", "{label}").stdout


@pytest.mark.parametrize(("seconds", "warned"), [(0.001, False), (2.0, True)])
def test_slow_work_is_announced_and_never_asked_about(
    xtool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, warned: bool
) -> None:
    Image.new("RGB", (64, 48), (230, 20, 20)).save(tmp_path / "red.png")
    monkeypatch.setattr("xtool.explainer.Explainer.expected_passes", lambda self, methods, texts: 90)
    monkeypatch.setattr("xtool.engine.cost.seconds_per_pass", lambda encoder: seconds)
    done = xtool("explain", "red.png", "--text", "red", "--encoder", "planted-cnn", "--method", "colourcam")
    assert done.returncode == 0, done.stderr
    assert ("up to 90 passes through planted-cnn, about 3 minutes" in done.stderr) is warned


def test_random_weights_are_said_to_be_random(xtool: Any) -> None:
    done = xtool(*COMPARE, "--pretrained", "none")
    assert "random weights" in done.stderr
    assert "random weights" in done.stdout


def test_lists_show_names_options_and_defaults(xtool: Any) -> None:
    assert "colourcam" in xtool("methods").stdout
    shown = xtool("methods", "colourcam").stdout
    assert "power" in shown
    assert "Sharpens the map." in shown
    assert "planted" in xtool("encoders", "planted-cnn").stdout
    assert "imagenet" in xtool("datasets").stdout


def test_a_profile_goes_to_stderr_and_adds_up(xtool: Any) -> None:
    done = xtool(*COMPARE, "--json", "--profile", "--limit", "3")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 3
    lines = done.stderr.splitlines()
    shares = [float(line.split()[-1].rstrip("%")) for line in lines if line.rstrip().endswith("%")]
    assert any("image tower" in line for line in lines)
    assert any("boxes and metrics" in line for line in lines)
    assert abs(sum(shares) - 100) < 1
    assert "outside the image tower" in " ".join(done.stderr.split())


def every_option() -> list[tuple[str, click.Option]]:
    """Options of all commands, of plugins too, with the command's name."""
    found = []

    def walk(group: click.Group, path: str) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                walk(command, f"{path} {name}")
            assert command is not None
            found.extend((f"{path} {name}", p) for p in command.params if isinstance(p, click.Option))

    walk(main, "xtool")
    return found


def test_one_option_has_one_set_of_names_in_every_command() -> None:
    by_name: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for command, option in every_option():
        for name in option.opts:
            by_name.setdefault(name, {}).setdefault(tuple(sorted(option.opts)), []).append(command)
    assert {name: spellings for name, spellings in by_name.items() if len(spellings) > 1} == {}


def completed(*words: str, incomplete: str) -> list[str]:
    """What a shell offers."""
    completer = ShellComplete(main, {}, "xtool", "_XTOOL_COMPLETE")
    return [item.value for item in completer.get_completions(list(words), incomplete)]


def test_names_are_completed(xtool: Any) -> None:
    registry.cache_clear()
    assert completed("compare", "--methods", incomplete="col") == ["colourcam"]
    assert completed("compare", "--methods", incomplete="everywhere,col") == ["everywhere,colourcam"]
    assert completed("explain", "--method", incomplete="colourcam:po") == ["colourcam:power="]
    assert completed("explain", "--encoder", incomplete="planted-c") == ["planted-cnn"]
    assert completed("compare", "--dataset", incomplete="patches:b") == ["patches:broken"]
    assert completed("datasets", incomplete="vo") == ["voc"]
    assert completed("methods", incomplete="col") == ["colourcam"]
    assert completed("compare", "--methods", incomplete="no-such:x") == []


def test_methods_show_choices_not_types(xtool: Any) -> None:
    from typing import Annotated, Literal

    from xtool.cli.listing import choices

    assert choices(Literal["cosine", "dot"]) == "cosine or dot"
    assert choices(int | None) == "whole number or none"
    assert choices(Annotated[float, "positive"] | Literal["auto"]) == "number or auto"
    shown = xtool("methods", "colourcam").stdout
    assert "number" in shown
    assert "Literal" not in shown


def test_encoders_are_listed_by_family_on_one_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xtool_clip", reason="needs a plugin with many encoders")
    monkeypatch.setenv("COLUMNS", "80")
    registry.cache_clear()
    short = CliRunner().invoke(main, ["encoders"]).stdout.splitlines()
    assert len(short) <= 30
    assert max(map(len, short)) <= 80
    (resnets,) = (line.split() for line in short if "CLIP ResNet" in line)
    assert resnets[2:5] == ["10", "RN50", "photographs"]  # five of OpenAI's, each twice: GELU and QuickGELU
    assert resnets[-1] in ("none", "all", "10") or "of" in resnets
    every = CliRunner().invoke(main, ["encoders", "--all"], env={"COLUMNS": "200"}).stdout
    assert all(item.spec.name in every for item in registry().encoders)
    family = CliRunner().invoke(main, ["encoders", "CLIP ResNet"], env={"COLUMNS": "200"}).stdout
    assert "RN50x64" in family
    assert "ViT-B-16" not in family
