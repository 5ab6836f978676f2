"""What a run was made with. Its identity is everything that decides the numbers; the rest tells when and where."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from xtool.image.geometry import Fit
from xtool.metrics.protocols import RENAMED
from xtool.store.packed import Maps

__all__ = ["SCHEMA_VERSION", "DatasetIdentity", "EncoderIdentity", "Identity", "Manifest"]

SCHEMA_VERSION: Final = 3
"""Of manifest and records. Runs of earlier versions can be read but not resumed."""


class DatasetIdentity(BaseModel):
    """Which samples."""

    model_config = ConfigDict(frozen=True)

    name: str
    """With its split."""
    fingerprint: str
    classes_counted_as_one: list[list[int]] = Field(default_factory=list)
    """Groups of classes that no text tells apart."""


class EncoderIdentity(BaseModel):
    """Which weights, and how they compute."""

    model_config = ConfigDict(frozen=True)

    name: str
    weights: str
    sha256: str | None
    trained: bool
    input_size: tuple[PositiveInt, PositiveInt]
    """Height and width."""
    dtype: str


class Identity(BaseModel):
    """Two runs with equal identities measure the same; nothing else may be added to a run."""

    model_config = ConfigDict(frozen=True)

    xtool: str
    dataset: DatasetIdentity
    encoder: EncoderIdentity
    classifier: EncoderIdentity | None = None
    features_from: dict[str, EncoderIdentity] = Field(default_factory=dict)
    """Other encoders that feature maps come from, by what the methods' option says."""
    methods: list[dict[str, Any]]
    """Label, qualified name, preset, and every option with its value: no ``auto``."""
    protocol: str
    templates: list[str]
    fit: Fit
    metrics: list[str] = Field(default_factory=list)
    """Those on request."""
    maps: Maps = "full"
    """What is kept of maps, and scored. Versions before the third kept all bits."""
    limit: int | None = None
    shard: tuple[int, int] = (1, 1)
    plugins: dict[str, str] = Field(default_factory=dict)
    """Distribution and version of every plugin that a part of the run comes from."""
    libraries: dict[str, str] = Field(default_factory=dict)
    """Versions of what these compute with."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the methods, in their order."""
        return tuple(method["label"] for method in self.methods)

    @field_validator("methods")
    @classmethod
    def _labelled(cls, methods: list[dict[str, Any]]) -> list[dict[str, Any]]:
        labels = [method.get("label") for method in methods]
        if not labels or not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
            raise ValueError("each method needs a label of its own")
        return methods

    @field_validator("shard")
    @classmethod
    def _one_of(cls, shard: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= shard[0] <= shard[1]:
            raise ValueError(f"{shard[0]}/{shard[1]} is no shard")
        return shard

    @field_validator("protocol")
    @classmethod
    def _present_name(cls, name: str) -> str:
        return RENAMED.get(name, name)

    def differences(self, now: Identity) -> list[str]:
        """What is different in another identity, one line each."""
        old, new = _flat(self.model_dump(mode="json")), _flat(now.model_dump(mode="json"))
        return [
            f"{key}: {_told(old, key)} in the run, {_told(new, key)} now"
            for key in sorted({*old, *new})
            if key not in old or key not in new or old[key] != new[key]
        ]


class Manifest(BaseModel):
    """The whole of ``manifest.json``."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1, 2, 3]
    identity: Identity
    images: int = Field(ge=1, le=10**9)
    """How many samples the run is to measure."""
    data_dir: str | None = None
    device: str = ""
    batch: int | None = Field(None, ge=1)
    """Images that were explained at once; ``None`` from versions that explained one after the other."""
    started: str = ""
    python: str = ""
    platform: str = ""

    def as_text(self) -> str:
        """As it is written."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)


def _told(flat: dict[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``; lists of objects likewise."""
    if isinstance(value, dict):
        items = [(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [(f"{prefix}[{index}]", item) for index, item in enumerate(value)]
    else:
        return {prefix: value}
    return {path: leaf for key, item in items for path, leaf in _flat(item, key).items()}
