"""The page, the curves and the counts of a run, as a user gets them; on the planted encoder and data set."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xtool.image.geometry import Geometry
from xtool.metrics.image_map import ImageMap
from xtool.metrics.protocols import PROTOCOLS, get_protocol
from xtool.report.pictures import Pictures
from xtool.runs import resampling
from xtool.runs.run import Run
from xtool.store.directory import RunDirectory
from xtool.store.packed import Packed, PackedMap

COMPARE = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam,everywhere")


class Page(HTMLParser):
    """Counts elements, gathers visible text and whatever a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.links: list[str] = []
        self.boxes: dict[str, int] = {}
        self.words: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        given = dict(attrs)
        self.links += [value for key in ("href", "src", "xlink:href") if (value := given.get(key))]
        if tag == "rect":
            kind = given.get("class") or ""
            self.boxes[kind] = self.boxes.get(kind, 0) + 1

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def test_table_and_page_share_one_bootstrap(xtool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    xtool(*COMPARE, "--out", "run")
    drawn, weightings = [], resampling.weightings

    def counted(images: int) -> Any:
        drawn.append(images)
        return weightings(images)

    monkeypatch.setattr(resampling, "weightings", counted)
    assert xtool("report", "run", "-o", "report.html").returncode == 0
    assert len(drawn) == 1


def test_a_page_reads_the_records_and_images_that_it_shows_and_no_others(
    xtool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xtool(*COMPARE, "--out", "run")
    lines, images = [], []
    parsed, opened = RunDirectory._parsed, Pictures.open

    def counted_line(self: RunDirectory, line: bytes, where: str) -> Any:
        lines.append(where)
        return parsed(self, line, where)

    def counted_image(self: Pictures, index: int) -> Any:
        images.append(index)
        return opened(self, index)

    monkeypatch.setattr(RunDirectory, "_parsed", counted_line)
    monkeypatch.setattr(Pictures, "open", counted_image)
    assert xtool("report", "run", "-o", "report.html", "--gallery", "1", "--no-counts").returncode == 0
    text = (tmp_path / "report.html").read_text("utf-8")
    shown = set(re.findall(r"photo-0-(\d+)", text))
    assert sorted(map(str, images)) == sorted(shown), "each once"
    pictures = 2 * (3 + 1)  # of each method: three galleries of one image, and one image as the threshold moves
    assert len(lines) <= pictures < 2 * Run.open(tmp_path / "run").images()


def test_the_page_has_tables_curves_galleries_and_manifest(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    done = xtool("report", "run", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    assert "colourcam" in done.stdout  # the terminal's table stays
    found = page(tmp_path / "report.html")
    assert "planted-cnn on patches:whole" in found.text
    assert "↑ higher" in found.text
    assert "↓ lower" in found.text
    assert "Any component's box overlaps any true box" in found.text
    for title in ("Best", "Worst", "Unlike the others", "Boxes as the threshold moves", '"fingerprint"'):
        assert title in found.text
    assert found.boxes["predicted"]
    assert found.boxes["truth"]
    assert "image" in found.tags


def test_evidence_within_the_band_of_a_calibration_is_unsure_on_the_page_as_in_explain(
    xtool: Any, tmp_path: Path
) -> None:
    xtool(*COMPARE, "--out", "run")
    run = Run.open(tmp_path / "run")
    scores = sorted({record.score for record in run.records() if record.method == "colourcam" and record.score})
    bar = scores[len(scores) // 2]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    (described,) = [method for method in manifest["identity"]["methods"] if method["label"] == "colourcam"]
    described["calibration"] = {
        "method": "colourcam", "bar": bar, "absent_below": bar - 1e-4, "present_above": bar + 1e-4, "options": {}
    }  # fmt: skip
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    run = Run.open(tmp_path / "run")
    told = {record.score: run.verdict(record).words for record in run.records() if record.method == "colourcam"}
    assert told[bar] == "unsure"
    assert "unsure" not in {words for score, words in told.items() if abs(score - bar) > 1e-4}
    assert xtool("report", "run", "-o", "report.html").returncode == 0
    assert ", unsure" in page(tmp_path / "report.html").text


def test_the_page_fetches_nothing(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    xtool("report", "run", "-o", "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert all(link.startswith(("data:", "#")) for link in Page(text).links)
    assert "script" not in Page(text).tags
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_same_runs_give_the_same_page(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    for name in ("a.html", "b.html"):
        xtool("report", "run", "-o", name)
    assert (tmp_path / "a.html").read_text("utf-8") == (tmp_path / "b.html").read_text("utf-8")


def test_one_image_and_one_method_make_a_page(xtool: Any, tmp_path: Path) -> None:
    one = tuple("colourcam" if part == "colourcam,everywhere" else part for part in COMPARE)
    xtool(*one, "--limit", "1", "--out", "run")
    done = xtool("report", "run", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    found = page(tmp_path / "report.html")
    assert "Best" in found.text
    assert "Unlike the others" not in found.text


def test_maps_without_boxes_make_a_page(xtool: Any, tmp_path: Path) -> None:
    blind = tuple("everywhere" if part == "colourcam,everywhere" else part for part in COMPARE)
    xtool(*blind, "--out", "run")
    done = xtool("report", "run", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    found = page(tmp_path / "report.html")
    assert "predicted" not in found.boxes
    assert found.boxes["truth"]


def test_failed_images_are_listed_with_file_and_reason(xtool: Any, tmp_path: Path) -> None:
    broken = tuple("patches:broken" if part == "patches" else part for part in COMPARE)
    xtool(*broken, "--out", "run", "--on-error", "skip")
    done = xtool("report", "run", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    text = page(tmp_path / "report.html").text
    assert "patch2.png truncated patch5.png truncated" in text
    assert "not finished" not in text


def test_an_interrupted_run_says_how_far_it_came(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    records = tmp_path / "run" / "records.jsonl"
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:9]) + lines[9][:40])
    done = xtool("report", "run", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    assert "5 of 12 images are measured" in page(tmp_path / "report.html").text


def test_a_run_that_measured_nothing_makes_a_page(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    (tmp_path / "run" / "records.jsonl").write_text("")
    for name in ("report.html", "curves.png"):
        done = xtool("report", "run", "-o", name)
        assert done.returncode == 0, done.stderr
    assert "There are no results yet" in page(tmp_path / "report.html").text


def test_images_that_are_gone_are_told_in_words(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    manifest = tmp_path / "run" / "manifest.json"
    whole = json.loads(manifest.read_text())
    for name, told in (("birds:val", "cannot be opened"), ("patches:broken", "is not the one of this run")):
        whole["identity"]["dataset"]["name"] = name
        manifest.write_text(json.dumps(whole))
        done = xtool("report", "run", "-o", "report.html")
        assert done.returncode == 0, done.stderr
        found = page(tmp_path / "report.html")
        assert "Pictures are left out" in found.text
        assert told in found.text
        assert "colourcam" in found.text


def test_an_image_that_cannot_be_opened_any_more_leaves_a_gap_with_the_reason(
    xtool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xtool(*COMPARE, "--out", "run")
    import planted_parts

    from xtool.errors import DataError

    whole = planted_parts.Patches.__getitem__

    def without_pictures(self: Any, index: int) -> Any:
        sample = whole(self, index)
        if index % 2:
            raise DataError(sample.id, "no such file")
        return sample

    monkeypatch.setattr(planted_parts.Patches, "__getitem__", without_pictures)
    done = xtool("report", "run", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    assert "No picture: patch1.png: no such file" in page(tmp_path / "report.html").text


def test_what_a_record_says_is_text_and_never_markup(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    evil = "<script>alert(1)</script>"
    records = tmp_path / "run" / "records.jsonl"
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    lines = [record for record in lines if record["index"] > 0]
    for record in lines:
        record.update(label=evil, image=evil + record["image"], method=evil if record["method"] == "colourcam" else "b")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    for method in manifest["identity"]["methods"]:
        method["label"] = evil if method["label"] == "colourcam" else "b"
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    lines.append({"index": 0, "image": evil, "error": evil})
    records.write_text("".join(json.dumps(record) + "\n" for record in lines))
    done = xtool("report", "run", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    found = page(tmp_path / "report.html")
    assert "script" not in found.tags
    assert evil in found.text


def test_several_runs_share_table_and_curves(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "a")
    xtool(*COMPARE, "--out", "b", "--pretrained", "none", "--limit", "3")
    done = xtool("report", "a", "b", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    found = page(tmp_path / "report.html")
    assert "random weights" in found.text
    assert "data set encoder protocol" in found.text


def test_curves_are_written_as_a_figure(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    assert xtool("report", "run", "-o", "curves.png").returncode == 0
    with Image.open(tmp_path / "curves.png") as figure:
        assert figure.width > 800
    assert xtool("report", "run", "-o", "curves.svg").returncode == 0
    assert "<svg" in (tmp_path / "curves.svg").read_text("utf-8")


def test_names_that_are_no_page_and_no_figure_are_refused(xtool: Any) -> None:
    xtool(*COMPARE, "--out", "run")
    done = xtool("report", "run", "-o", "report.txt")
    assert done.returncode == 2
    assert ".html for a page" in done.stderr
    done = xtool("report", "run", "-o", "report.html", "--image", "nowhere.png")
    assert done.returncode == 1
    assert "no record of the image 'nowhere.png'" in done.stderr


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_page_draws_the_boxes_that_were_scored(xtool: Any, tmp_path: Path, protocol: str) -> None:
    """Every drawn box is one of the protocol's at the row's threshold, and their best IoU is the recorded one."""
    one = tuple("colourcam" if part == "colourcam,everywhere" else part for part in COMPARE)
    xtool(*one, "--limit", "4", "--protocol", protocol, "--out", "run")
    (row,) = json.loads(xtool("report", "run", "--json").stdout)[0]["rows"]
    done = xtool("report", "run", "-o", "report.html", "--gallery", "12")
    assert done.returncode == 0, done.stderr
    drawn = Rectangles((tmp_path / "report.html").read_text("utf-8"))
    found = get_protocol(protocol)
    threshold = row["threshold"] if row["threshold"] is not None else Run.open(tmp_path / "run").results[0].threshold
    index = found.index_of(threshold)
    records = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text("utf-8").splitlines()]
    for record in records:
        boxes = drawn.of[record["image"]]
        ious = found.ious(boxes, record["true_boxes"], tuple(record["image_size"]))
        recorded = Packed.model_validate(record["ious"]).unpack()
        assert ious.max() == pytest.approx(recorded[index], abs=1e-9)
        low = PackedMap.model_validate(record["map"]).unpack()
        image_map = ImageMap(low, Geometry.of(tuple(record["image_size"]), (64, 64)))
        assert boxes == pytest.approx(found.boxes(image_map, threshold))


class Rectangles(HTMLParser):
    """The predicted boxes of each gallery's picture, by the image's id; of the first picture of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.of: dict[str, np.ndarray] = {}
        self._boxes: list[tuple[float, ...]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "figure":
            self._boxes = []
        if tag == "rect" and given.get("class", "").startswith("predicted"):
            x, y, width, height = (float(given[key]) for key in ("x", "y", "width", "height"))
            self._boxes.append((x, y, x + width, y + height))

    def handle_data(self, data: str) -> None:
        if " · " in data and data.strip().endswith(".png"):
            self.of.setdefault(data.split(" · ")[1].strip(), np.array(self._boxes))


def hill(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    """A map [64, 64] that is 1 in the boxes and 0 elsewhere, each cell a pixel of the planted input."""
    heat = np.zeros((64, 64), np.float32)
    for x0, y0, x1, y1 in boxes:
        heat[y0:y1, x0:x1] = 1
    return heat


def test_counts_by_hand(xtool: Any, tmp_path: Path) -> None:
    """Two true boxes, one found twice over: by hand 1 match of 3 predicted and 2 true; then 2 of 2 and 2."""
    xtool(*COMPARE, "--limit", "2", "--out", "run")
    truth = [(8, 8, 24, 24), (40, 40, 56, 56)]
    seen = {0: [(8, 8, 24, 24), (40, 8, 56, 24), (8, 40, 24, 56)], 1: truth}
    records = tmp_path / "run" / "records.jsonl"
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    thresholds = len(get_protocol("anybox").thresholds)
    for record in lines:
        record.update(
            true_boxes=truth,
            map=PackedMap.pack(hill(seen[record["index"]])).model_dump(),
            image_size=[64, 64],
            ious=[1.0] * thresholds,
        )
    records.write_text("".join(json.dumps(record) + "\n" for record in lines))
    done = xtool("report", "run", "--json", "--counts", "--threshold", "0.5")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)[0]["counts"][0]
    assert (counts["images"], counts["several"], counts["predicted"], counts["truth"]) == (2, 2, 5, 4)
    assert counts["count_error"] == 0.5
    assert counts["f1"] == pytest.approx(2 * 3 / 9)
    assert "Counting instances" in xtool("report", "run", "--counts").stdout
    xtool("report", "run", "-o", "report.html")
    assert "Counting instances" in page(tmp_path / "report.html").text


def test_runs_with_single_instances_have_no_counts(xtool: Any, tmp_path: Path) -> None:
    xtool(*COMPARE, "--out", "run")
    assert json.loads(xtool("report", "run", "--json", "--counts").stdout)[0]["counts"] == []
    assert "counts" not in json.loads(xtool("report", "run", "--json").stdout)[0]
    xtool("report", "run", "-o", "report.html")
    assert "Counting instances" not in page(tmp_path / "report.html").text
