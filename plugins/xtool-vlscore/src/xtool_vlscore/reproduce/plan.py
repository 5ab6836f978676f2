"""What each table needs: encoders, method, thresholds, protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xtool.plugin import UsageError

__all__ = ["DEFAULT_METHOD", "TABLES", "Experiment", "plan"]

DEFAULT_METHOD = "vlscore:preset=paper"
"""The article's published code. Its prompt, "an image of a {label}." over all synonyms, is xtool's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One run, and where it stands in the table."""

    encoder: str
    backbone: str
    """As the article calls it."""
    thresholds: tuple[float | None, ...]
    """A row for each; ``None`` takes the protocol's own."""
    published: bool = True
    """Whether the article has such a row."""
    title: str = "VL-Score"
    method: str = DEFAULT_METHOD
    protocol: str = "anybox"
    classifier: str | None = None
    limit: int | None = None
    """Images, where the article took fewer than all."""
    optional: bool = False
    """Whether the table is complete without it, when a plugin or its weights are missing."""

    @property
    def folder(self) -> str:
        """Where its run is, inside the table's directory."""
        return f"{self.encoder}+{self.classifier}" if self.classifier else self.encoder


THRESHOLDS = (0.55, 0.60, 0.65)

TABLES: dict[str, tuple[Experiment, ...]] = {
    "table1": (
        Experiment(encoder="RN50", backbone="CLIP ResNet50", thresholds=(0.60,)),
        # Two heads: boxes from one backbone, classes from another.
        Experiment(encoder="RN50", classifier="RN50x16", backbone="CLIP ResNet50", thresholds=(0.60,), published=False),
        Experiment(
            encoder="timm-resnet50",
            backbone="ResNet50",
            title="ResNet50-CAM",
            method="cam",
            protocol="cam2016",
            thresholds=(None,),
            optional=True,
        ),
    ),
    "table2": (
        Experiment(encoder="RN50", backbone="ResNet50", thresholds=THRESHOLDS),
        Experiment(encoder="RN101", backbone="ResNet101", thresholds=THRESHOLDS),
        Experiment(encoder="ViT-B-16", backbone="ViT-B/16", thresholds=THRESHOLDS, limit=10_000),
    ),
}


def plan(
    table: str, *, encoder: str | None = None, classifier: str | None = None, method: str | None = None
) -> list[Experiment]:
    """The experiments of a table; with ``encoder`` only that one, with the article's thresholds.

    Raises :class:`UsageError` for an unknown table.
    """
    if table not in TABLES:
        raise UsageError(f"unknown table {table!r}; choose one of {', '.join(TABLES)}")
    own = list(TABLES[table])
    if encoder is not None:
        known = [item for item in own if item.encoder == encoder and item.classifier == classifier]
        model = next(item for item in own if not item.optional)
        stranger = replace(model, encoder=encoder, classifier=classifier, backbone=encoder, published=False)
        own = known or [stranger]
    elif classifier is not None:
        own = [replace(item, classifier=classifier) if item.classifier else item for item in own]
    if method is not None:
        own = [item if item.optional else replace(item, method=method, published=False) for item in own]
    return own
