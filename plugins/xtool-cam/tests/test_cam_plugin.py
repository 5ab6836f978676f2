"""What the plugin tells the core: specs that are complete, true and cheap to read."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import xtool_cam
from xtool.plugin import FeatureConfig, MethodConfig


def resolved(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


def test_every_spec_resolves_and_its_config_fits_what_it_requires() -> None:
    specs = list(xtool_cam.xtool_saliency_methods())
    assert [spec.name for spec in specs] == [
        "gradcam",
        "gradcam++",
        "xgradcam",
        "hirescam",
        "layercam",
        "eigencam",
        "ablationcam",
        "scorecam",
        "pgc",
        "random",
        "center",
        "meanmap",
    ]
    for spec in specs:
        config = resolved(spec.config)
        assert issubclass(config, FeatureConfig if "features" in spec.requires else MethodConfig)
        assert all(field.description for field in config.model_fields.values())
        arguments = (config(), None) if "features" in spec.requires else (config(),)
        assert callable(resolved(spec.factory)(*arguments).explain)
        assert spec.paper or spec.summary.startswith("Control:") or spec.name == "pgc"


def test_the_entry_point_names_the_plugin_module() -> None:
    assert [point.load() for point in entry_points(group="xtool", name="cam")] == [xtool_cam]


def test_listing_and_options_import_neither_torch_nor_pytorch_grad_cam() -> None:
    code = (
        "import sys, xtool_cam, xtool_cam.config; list(xtool_cam.xtool_saliency_methods());"
        "print({'torch', 'numpy', 'pytorch_grad_cam'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
