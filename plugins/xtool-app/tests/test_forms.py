"""A form is read from the schema; no method's options are written down twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from xtool.contracts.config import FeatureConfig, MethodConfig
from xtool.contracts.protocols import Encoder
from xtool.errors import UsageError
from xtool.testing import PlantedCNN, PlantedViT
from xtool_app.forms import build_request, fields_of, presets_of, usable_methods

CNN = PlantedCNN()


class Told(PlantedCNN):
    """One with another info."""

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self._info = replace(self._info, **changes)


class Everything(MethodConfig):
    presets: ClassVar[dict[str, dict[str, Any]]] = {"sharp": {"power": 4.0, "kind": "blur"}}

    flag: bool = Field(True, description="A switch.")
    kind: Literal["zero", "blur"] = Field("zero", description="A choice.")
    count: int = Field(3, ge=1, le=9, description="Whole.")
    power: float = Field(1.0, gt=0, lt=10, description="A number.")
    top: int | None = Field(None, ge=1, description="Whole, or left to the method.")
    layer: str = Field("auto", description="Free text.")
    blend: bool | Literal["auto"] = Field(False, description="A switch, or left to the method.")
    above: float | Literal["auto"] = Field(0.5, description="A number, or left to the method.")


def test_every_kind_of_option_becomes_a_field() -> None:
    fields = {field.name: field for field in fields_of(Everything)}
    kinds = [fields[name].kind for name in ("flag", "kind", "count", "power", "top", "layer")]
    assert kinds == ["switch", "choice", "whole", "number", "whole", "text"]
    assert fields["kind"].choices == ("zero", "blur")
    assert (fields["blend"].kind, fields["blend"].choices) == ("choice", (True, False, "auto"))
    assert (fields["above"].kind, fields["above"].default) == ("text", "0.5")
    assert (fields["count"].minimum, fields["count"].maximum) == (1, 9)
    power = fields["power"]
    assert power.minimum is not None
    assert power.maximum is not None
    assert 0 < power.minimum < 1e-3
    assert 9.99 < power.maximum < 10
    assert fields["top"].optional
    assert fields["flag"].description == "A switch."


def test_a_preset_becomes_the_defaults() -> None:
    fields = {field.name: field.default for field in fields_of(Everything, "sharp")}
    assert (fields["power"], fields["kind"], fields["flag"]) == (4.0, "blur", True)


def test_feature_extractors_are_offered_by_architecture(planted: object) -> None:
    (features,) = [f for f in fields_of(FeatureConfig, architecture="cnn") if f.name == "features"]
    assert features.choices[0] == "auto"
    assert "planted" in features.choices
    (features,) = [f for f in fields_of(FeatureConfig, architecture="vit") if f.name == "features"]
    assert "planted" not in features.choices


def test_layers_are_offered_by_name_once_the_encoder_is_loaded(planted: Any) -> None:
    (layer,) = [f for f in fields_of(FeatureConfig, encoder=planted.encoder("planted-cnn").info) if f.name == "layer"]
    assert layer.choices == ("auto", "layer1")


def test_a_filled_form_asks_for_what_was_changed(planted: object) -> None:
    from xtool_vlscore.config import VLScoreConfig

    fields = fields_of(VLScoreConfig, "paper")
    values = {field.name: field.default for field in fields} | {"top_k": 8, "softmax": False}
    request = build_request("vlscore", fields, values, "paper")
    assert request.label == "vlscore:preset=paper:softmax=False:top_k=8"
    assert (request.config.top_k, request.config.softmax, request.config.temperature) == (8, False, 1.0)  # type: ignore[attr-defined]
    assert build_request("vlscore", fields_of(VLScoreConfig), {}).label == "vlscore"


def test_a_value_that_the_method_refuses_is_told_by_name(planted: object) -> None:
    from xtool_vlscore.config import VLScoreConfig

    with pytest.raises(UsageError, match="temperature"):
        build_request("vlscore", fields_of(VLScoreConfig), {"temperature": -1.0})


def test_presets_and_methods_come_from_the_registry(planted: object) -> None:
    assert set(presets_of("vlscore")) == {"paper", "fast", "gscorecam"}
    assert {choice.name for choice in usable_methods(CNN)} >= {"vlscore", "colourcam", "everywhere"}


def test_methods_are_listed_by_what_they_do_and_cost(planted: object) -> None:
    (vlscore,) = [choice for choice in usable_methods(CNN) if choice.name == "vlscore"]
    assert vlscore.label.startswith("Feature maps as masks")
    assert vlscore.label.endswith("(vlscore, many passes)")
    pooling = Told(pools_masks=True, default_mask_at="pool")
    (pooled,) = [choice for choice in usable_methods(pooling) if choice.name == "vlscore"]
    assert pooled.cost == "quick"


def offered(encoder: Encoder | None) -> set[str]:
    return {choice.name for choice in usable_methods(encoder)}


def test_a_method_is_offered_only_where_it_works() -> None:
    """The method cam of xtool-timm works on CNNs that are classifiers, those of xtool-vit on transformers."""
    pytest.importorskip("xtool_timm", reason="needs the plugin xtool-timm")
    pytest.importorskip("xtool_vit", reason="needs the plugin xtool-vit")
    assert {"legrad", "dense"} <= offered(PlantedViT())
    for encoder in (CNN, None):
        assert "vlscore" in offered(encoder)
        assert not {"cam", "legrad", "dense"} & offered(encoder)


def test_a_transformer_whose_blocks_cannot_be_read_is_offered_no_method_that_reads_them() -> None:
    pytest.importorskip("xtool_vit", reason="needs the plugin xtool-vit")
    closed = Told(architecture="vit")
    assert not {"legrad", "dense"} & offered(closed)
    assert "vlscore" in offered(closed)


def test_every_installed_method_has_a_form() -> None:
    from xtool.contracts.registry import registry
    from xtool.engine.methods import config_class

    for item in registry().saliency_methods:
        config = config_class(item.spec)
        fields = fields_of(config)
        assert {field.name for field in fields} == set(config.model_fields)
        assert build_request(item.spec.name, fields, {field.name: field.default for field in fields}).config == config()
