"""Plugins that break their promises: the culprit is named, the others go on, and nothing wrong is recorded."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xtool.errors import PluginError, RunError
from xtool.evaluator.comparison import compare
from xtool.explainer import explain
from xtool.runs.run import Run
from xtool.store.directory import RECORDS
from xtool.testing.planted import planted_image

PLANTED = Path(__file__).parent / "planted_plugin"
UNRULY = Path(__file__).parent / "unruly_plugin"

TOLD = {
    "nothing": "answered with None, not with a Saliency",
    "list": "answered with a list, not with a Saliency",
    "array": "answered with maps as a ndarray, not as a tensor",
    "flat": "answered with maps [1, 1, 16]; for 1 image(s) and 1 text(s) they must be [1, 1, h, w]",
    "empty": "answered with maps [1, 1, 4, 0]",
    "fewer-texts": "answered with maps [1, 0, 4, 4]",
    "more-texts": "answered with maps [1, 3, 4, 4]",
    "more-images": "answered with maps [2, 1, 4, 4]",
    "complex": "answered with a map of torch.complex64; it must be torch.float32",
    "meta": "failed: NotImplementedError: Cannot copy out of meta tensor",
    "nan": "answered with a map that is not finite",
    "infinite": "answered with a map that is not finite",
    "huge": "answered with a map that is not finite",
    "present-float": "present [1, 1] of torch.float32; it must be [1, 1] of torch.bool, or None",
    "present-short": "present [1] of torch.bool",
    "present-bool": "answered with present as a bool, not as a tensor",
    "score-nan": "answered with a score that is not finite",
    "score-short": "answered with scores [1]; they must be [1, 1]",
    "raises": "failed: RuntimeError: no luck",
    "raises-silently": "failed: ValueError",
    "raises-at-length": "failed: ValueError: long story",
    "asserts": "failed: AssertionError: never",
    "exits": "failed: SystemExit: 0",
    "no-memory": "needs more memory than there is; try a smaller model",
    "no-memory-on-a-cpu": "needs more memory than there is; try a smaller model",
    "recursion": "failed: RecursionError",
}


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    from xtool.contracts.registry import registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PLANTED)
    monkeypatch.syspath_prepend(UNRULY)
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "app,clip,vlscore,cam,photo,tiny,timm,transformers,vit")
    registry.cache_clear()
    yield
    registry.cache_clear()


def run(method: str, **options: Any) -> Run:
    given = {"encoder": "planted-cnn", "methods": [method, "everywhere"], "out": "run", **options}
    return compare("patches", limit=3, **given)


def test_every_misbehaviour_has_its_words() -> None:
    from unruly_parts import MISBEHAVIOURS

    assert set(TOLD) == set(MISBEHAVIOURS)


@pytest.mark.parametrize("how", TOLD)
def test_explain_names_the_method_and_its_plugin(how: str) -> None:
    with pytest.raises(PluginError) as error:
        explain(planted_image({"red": (0, 0, 16, 16)}), "red", methods=f"unruly:how={how}", encoder="planted-cnn")
    assert str(error.value).startswith(f"method unruly:how={how} of the plugin unruly ")
    assert TOLD[how] in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("how", ["nothing", "nan", "exits", "raises"])
def test_a_run_stops_with_what_is_done_and_can_be_resumed(how: str) -> None:
    """Two calls for each image, one for its text and one for the others: the second image's first is the third."""
    with pytest.raises(Exception, match=r"patch1\.png: method unruly:.* of the plugin unruly"):
        run(f"unruly:how={how}:first=3")
    lines = [json.loads(line) for line in Path("run", RECORDS).read_text().splitlines()]
    assert [(line["index"], line["method"].partition(":")[0]) for line in lines] == [
        (0, "unruly"), (0, "everywhere"), (1, "unruly")
    ]  # fmt: skip
    resumed = run(f"unruly:how={how}:first=3", resume=True, on_error="skip")
    assert {row.method.partition(":")[0]: row.images for row in resumed.rows()} == {"unruly": 2, "everywhere": 3}


def test_when_skipping_the_others_go_on_and_the_table_tells() -> None:
    from rich.console import Console

    found = run("unruly:how=raises:first=3", on_error="skip")
    assert {row.method: row.images for row in found.rows()} == {"unruly:how=raises:first=3": 1, "everywhere": 3}
    assert [(each.image, each.method) for each in found.unanswered()] == [
        ("patch1.png", "unruly:how=raises:first=3"), ("patch2.png", "unruly:how=raises:first=3")
    ]  # fmt: skip
    assert found.failures() == ()
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(found.table())
    assert "unruly:how=raises:first=3 failed on 2 image(s), so its numbers are of the others" in console.export_text()
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [each["method"] for each in told["unanswered"]] == ["unruly:how=raises:first=3"] * 2


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("nan-image", "encoder unruly-nan-image (planted) gave an image embedding that is not finite"),
        ("nan-text", "encoder unruly-nan-text (planted) gave a text embedding that is not finite"),
        ("no-tensor", "answered with a list for an image embedding"),
        ("wide", "gave an image embedding of shape [1, 16]; it must be [1, …, 8]"),
        ("raises", "encoder unruly-raises failed: RuntimeError: no luck"),
        ("exits", "encoder unruly-exits failed: SystemExit: 0"),
    ],
)
def test_a_broken_encoder_is_named_and_nothing_is_recorded_of_it(how: str, told: str) -> None:
    with pytest.raises(Exception, match="unruly-") as error:
        compare("patches", methods=["everywhere"], encoder=f"unruly-{how}", out="run", on_error="stop", limit=2)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("raises", "data set unruly:raises failed: KeyError: 'lost'"),
        ("exits", "data set unruly:exits failed: SystemExit: 0"),
        ("none", "data set unruly:none failed: AttributeError"),
        ("no-image", "data set unruly:no-image failed: AttributeError"),
        ("nan-box", "the true boxes must be finite numbers [N, 4], not [[nan, nan, nan, nan]]"),
        ("flat-box", "the true boxes must be finite numbers [N, 4], not [8.0, 8.0, 24.0, 32.0]"),
    ],
)
def test_a_sample_that_misbehaves_costs_only_itself(how: str, told: str) -> None:
    found = compare(f"unruly:{how}", methods=["everywhere"], encoder="planted-cnn", out="run", on_error="skip")
    assert [each.index for each in found.failures()] == [1, 4]
    assert told in found.failures()[0].error
    assert found.images() == 4


def test_where_nothing_could_be_measured_there_is_no_table() -> None:
    with pytest.raises(RunError, match=r"nothing could be measured on any image; the first: patch0\.png: method"):
        compare("patches", methods=["unruly:how=nan"], encoder="planted-cnn", out="run", on_error="skip", limit=3)
