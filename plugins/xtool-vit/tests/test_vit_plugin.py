"""What the plugin tells the core: specs that are complete, true and cheap to read."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import pytest
from vit_towers import make_tower, pixels_for, texts_for

import xtool_vit
from xtool.plugin import FeatureConfig, MethodConfig, UsageError, refusal


def resolved(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


def test_every_spec_resolves_and_its_config_fits_what_it_requires() -> None:
    for spec in xtool_vit.xtool_saliency_methods():
        config = resolved(spec.config)
        assert issubclass(config, FeatureConfig if "features" in spec.requires else MethodConfig)
        assert all(field.description for field in config.model_fields.values())
        arguments = (config(), None) if "features" in spec.requires else (config(),)
        assert callable(resolved(spec.factory)(*arguments).explain)
        assert spec.paper or spec.name == "rawattention"


def test_blocks_that_cannot_be_read_are_told_before_anything_runs_as_when_it_runs() -> None:
    usual, closed = make_tower("class token"), make_tower("relative positions", small=True)
    for spec in xtool_vit.xtool_saliency_methods():
        assert refusal(spec, usual) == ""
        said = refusal(spec, closed)
        assert "cannot be read from small" in said
        with pytest.raises(UsageError) as raised:
            resolved(spec.factory)(resolved(spec.config)()).explain(closed, pixels_for(closed, 1), texts_for(closed, 1))
        assert str(raised.value) == said


def test_the_entry_point_names_the_plugin_module() -> None:
    assert [point.load() for point in entry_points(group="xtool", name="vit")] == [xtool_vit]


def test_listing_and_options_import_no_torch() -> None:
    code = (
        "import sys, xtool_vit, xtool_vit.config; list(xtool_vit.xtool_saliency_methods());"
        "print({'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
