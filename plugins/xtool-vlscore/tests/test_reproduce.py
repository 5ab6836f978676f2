"""``xtool reproduce``: measured next to published, on the planted encoder and data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import xtool.testing
from xtool_vlscore.reproduce.plan import TABLES, plan
from xtool_vlscore.reproduce.published import published_table

PLANTED = ("--encoder", "planted-cnn", "--dataset", "patches", "--method", "colourcam")


def test_without_imagenet_it_says_what_to_get_and_where_to_put_it(xtool: Any, tmp_path: Path) -> None:
    for arguments in ((), ("--data-dir", "nowhere"), ("--data-dir", str(tmp_path))):
        done = xtool("reproduce", "table1", *arguments)
        assert done.returncode == 2
        for wanted in ("ILSVRC2012_img_val.tar", "LOC_val_solution.csv", "LOC_synset_mapping.txt", "--data-dir DIR"):
            assert wanted in done.stderr
        assert "Traceback" not in done.stderr


def test_measured_rows_stand_next_to_published_ones(xtool: Any) -> None:
    done = xtool("reproduce", "table2", *PLANTED, "--json", "--out", "runs")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    published = [row for row in told["rows"] if row["as_published"]]
    measured = [row for row in told["rows"] if not row["as_published"]]
    assert len(published) == 9
    assert {row["images"] for row in published} == {None}
    assert [row["threshold"] for row in measured] == [0.55, 0.6, 0.65]
    # The planted encoder finds and names every patch.
    assert {row["measured"]["gt_known"] for row in measured} == {100.0}
    assert {row["measured"]["cls_top1"] for row in measured} == {100.0}
    assert {row["images"] for row in measured} == {12}
    assert any("not on ImageNet" in note for note in told["caveats"])
    assert any("This is not the article's method." in note for note in told["caveats"])
    assert any("12 images" in note for note in told["caveats"])


def test_the_difference_is_measured_minus_published(xtool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from xtool_vlscore.reproduce import plan as plans

    own = tuple(replace(item, encoder="planted-cnn", method="colourcam") for item in TABLES["table2"][:1])
    monkeypatch.setitem(plans.TABLES, "table2", own)
    done = xtool("reproduce", "table2", "--dataset", "patches", "--json", "--out", "runs")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)["rows"][0]
    assert (first["backbone"], first["threshold"]) == ("ResNet50", 0.55)
    assert first["published"]["gt_known"] == 64.24
    assert first["difference"]["gt_known"] == pytest.approx(100 - 64.24)


def test_published_rows_are_marked_as_published(xtool: Any) -> None:
    done = xtool("reproduce", "table1", *PLANTED, "--out", "runs")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "PSOL" in line)
    assert "as published" in line
    assert "(65.44)" in line
    assert "39.50, which its Table 2 gives to ResNet101" in done.stdout


def test_random_weights_are_said_to_be_random(xtool: Any) -> None:
    done = xtool("reproduce", "table1", *PLANTED, "--pretrained", "none", "--limit", "2", "--out", "runs")
    assert done.returncode == 0, done.stderr
    assert "planted-cnn has random weights" in done.stdout


def test_shards_are_merged_and_missing_ones_told(xtool: Any) -> None:
    first = xtool("reproduce", "table1", *PLANTED, "--shard", "1/2", "--json", "--out", "runs")
    assert any("1 of 2 shards" in note for note in json.loads(first.stdout)["caveats"])
    second = json.loads(xtool("reproduce", "table1", *PLANTED, "--shard", "2/2", "--json", "--out", "runs").stdout)
    assert [row["images"] for row in second["rows"] if not row["as_published"]] == [12]
    assert not any("shards" in note for note in second["caveats"])


def test_a_second_head_names_the_class(xtool: Any) -> None:
    done = xtool("reproduce", "table1", *PLANTED, "--classifier", "planted-cnn", "--json", "--out", "runs")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"][-1]["backbone"] == "planted-cnn + planted-cnn"
    assert any("two backbones" in note for note in told["caveats"])


def test_a_table_stands_without_its_optional_rows(xtool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from xtool_vlscore.reproduce import plan as plans

    cam = tuple(item for item in TABLES["table1"] if item.optional)
    monkeypatch.setitem(plans.TABLES, "table1", cam)
    done = xtool("reproduce", "table1", "--dataset", "patches", "--json", "--out", "runs")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert all(row["as_published"] for row in told["rows"])
    assert any("ResNet50-CAM (timm-resnet50) is not measured" in note for note in told["caveats"])


def test_the_plan_is_the_articles() -> None:
    assert [item.folder for item in plan("table1")] == ["RN50", "RN50+RN50x16", "timm-resnet50"]
    assert [(item.encoder, item.limit) for item in plan("table2")] == [
        ("RN50", None),
        ("RN101", None),
        ("ViT-B-16", 10_000),
    ]
    for table in TABLES:
        known = published_table(table)
        for item in TABLES[table]:
            rows = [row for row in known.rows if (row.method, row.backbone) == (item.title, item.backbone)]
            assert rows
            assert all(at is None or at in {row.threshold for row in rows} for at in item.thresholds)


def test_an_unknown_table_is_told(xtool: Any) -> None:
    done = xtool("reproduce", "table3")
    assert done.returncode == 2
    assert "table1" in done.stderr


test_conforms = xtool.testing.conformance("reproduce")
