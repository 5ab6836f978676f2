"""A run says what computed it, and takes no records from anything else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PLANTED_PLUGIN = Path(__file__).parent / "planted_plugin"

COMPARE = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--limit", "2")


def identity(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text("utf-8"))["identity"]
    return found


def test_every_plugin_and_what_it_computes_with_stands_in_the_manifest(xtool: Any, tmp_path: Path) -> None:
    assert xtool(*COMPARE, "--methods", "colourcam", "--out", "run").returncode == 0
    found = identity(tmp_path / "run")
    assert found["plugins"] == {"xtool-planted": "1.0"}
    assert found["xtool"] == version("xtool-saliency")
    assert found["libraries"] == {name: version(name) for name in ("numpy", "pillow", "scipy", "torch")}


def test_a_protocol_s_own_library_is_pinned(xtool: Any, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    xtool(*COMPARE, "--methods", "colourcam", "--protocol", "cam2016", "--out", "run")
    assert identity(tmp_path / "run")["libraries"]["opencv"] == cv2.__version__


def test_libraries_behind_a_plugin_s_libraries_are_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xtool
    from xtool.contracts.registry import registry

    monkeypatch.delenv("XTOOL_DISABLE_PLUGINS", raising=False)
    registry.cache_clear()
    xtool.compare("scenes", methods=["eigencam"], limit=1, out=tmp_path / "run")
    found = identity(tmp_path / "run")
    assert set(found["plugins"]) == {"xtool-cam", "xtool-clip", "xtool-tiny"}
    assert {"open-clip-torch", "timm", "torch", "torchvision"} <= set(found["libraries"])
    assert not {"rich", "click", "pydantic", "huggingface-hub", "tqdm"} & set(found["libraries"])


def test_a_run_is_not_resumed_with_another_version_of_a_plugin(
    xtool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (*COMPARE, "--methods", "colourcam", "--out", "run", "--resume")
    assert xtool(*run).returncode == 0
    assert xtool(*run).returncode == 0
    newer = tmp_path / "newer"
    shutil.copytree(PLANTED_PLUGIN, newer, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = newer / "xtool_planted-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    monkeypatch.syspath_prepend(newer)
    refused = xtool(*run)
    assert refused.returncode == 1
    assert "plugins.xtool-planted: '1.0' in the run, '1.1' now" in refused.stderr
    assert xtool("report", "run").returncode == 0, "a report needs no plugin"


def test_a_run_is_not_resumed_when_auto_means_another_layer(
    xtool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xtool.testing.planted import PlantedCNN

    run = (*COMPARE, "--methods", "colourcam", "--out", "run", "--resume")
    assert xtool(*run).returncode == 0
    (method,) = identity(tmp_path / "run")["methods"]
    assert (method["config"]["features"], method["config"]["layer"]) == ("planted", "layer1")

    def with_another_default(self: PlantedCNN) -> Any:
        return replace(self._info, layers=("layer1", "layer2"), default_layer="layer2")

    monkeypatch.setattr(PlantedCNN, "info", property(with_another_default))
    refused = xtool(*run)
    assert refused.returncode == 1
    assert "methods[0].config.layer: 'layer1' in the run, 'layer2' now" in refused.stderr


def test_auto_and_the_layer_by_name_share_their_pass(xtool: Any, tmp_path: Path) -> None:
    done = xtool(*COMPARE, "--methods", "colourcam,colourcam:layer=layer1,colourcam:features=planted", "--out", "run")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text("utf-8").splitlines()]
    first, *others = records[:3]
    assert first["encoder_seconds_here"] > 0
    assert [record["encoder_seconds_here"] for record in others] == [0, 0]
    assert {record["forwards"] for record in records} == {1}, "each is charged what it costs alone"


def test_the_protocol_s_earlier_name_works_and_is_told_once(xtool: Any, tmp_path: Path) -> None:
    done = xtool(*COMPARE, "--methods", "colourcam", "--protocol", "vlscore", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("now called anybox") == 1
    assert identity(tmp_path / "run")["protocol"] == "anybox"
    assert "vlscore" not in xtool("compare", "--help").stdout.partition("--protocol")[2].partition("--threshold")[0]


def test_python_warns_of_the_protocol_s_earlier_name(xtool: Any, tmp_path: Path) -> None:
    from xtool.evaluator.comparison import compare

    with pytest.warns(FutureWarning, match="vlscore is now called anybox"):
        run = compare(
            "patches", methods=["colourcam"], encoder="planted-cnn", protocol="vlscore", limit=1, out=tmp_path / "run"
        )
    assert run.identity.protocol == "anybox"
