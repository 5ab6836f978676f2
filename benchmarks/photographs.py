"""How well methods find things on photographs: defaults are chosen on one half of the data and reported on the other.

    uv run python -m benchmarks.photographs --data DIR --out runs/photographs

``DIR`` holds ``ilsvrc-val-400`` (ImageNet validation images in the Kaggle layout) and ``coco-160`` (a ``table`` of COCO
photographs). Each data set is cut in two by photograph, in the order of their names: even ones choose, odd ones report.
Runs are resumed where they were stopped. What is printed is Markdown, for ``docs/howto/photographs.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtool.contracts.protocols import Dataset, Sample
from xtool.datasets.opening import open_dataset
from xtool.engine.encoders import load_encoder
from xtool.evaluator.comparison import compare
from xtool.runs.run import Run
from xtool.store.records import Record

SETS = {"ilsvrc-val-400": ("imagenet", "ilsvrc-val-400"), "coco-160": ("table", "coco-160/photos.jsonl")}
"""Each with the loader and where it lies under the folder of the data."""
PARTS = ("choose", "report")
METHODS = (
    "vlscore",
    "vlscore:flip=true",
    "vlscore:contrast=false",
    "vlscore:contrast=true",
    "vlscore:preset=paper:mask_at=pool",
    "cam",
    "cam:flip=true",
    "hirescam",
    "gradcam",
    "layercam",
    "center",
)
FOUND = 0.5
"""IoU above which a box has found its thing."""
DRAWS = 2000


@dataclass(frozen=True)
class Half:
    """The samples of every second photograph of a data set."""

    whole: Dataset
    part: str
    indices: tuple[int, ...]

    @classmethod
    def of(cls, whole: Dataset, part: str, every: int = 1) -> Half:
        """The even photographs to choose on, the odd ones to report on; of either only every so many samples."""
        photographs = [photograph(whole[index].id) for index in range(len(whole))]
        place = {name: number for number, name in enumerate(sorted(set(photographs)))}
        indices = [index for index, name in enumerate(photographs) if place[name] % 2 == PARTS.index(part)]
        return cls(whole, part if every == 1 else f"{part}-{every}", tuple(indices[::every]))

    @property
    def name(self) -> str:
        return f"{self.whole.name}:{self.part}"

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        return self.whole.classes

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.whole[self.indices[index]]

    def fingerprint(self) -> str:
        return f"{self.whole.fingerprint()}-{self.part}"


def photograph(sample_id: str) -> str:
    """The picture of a sample, of which there may be several."""
    return sample_id.partition("#")[0]


@dataclass(frozen=True)
class Credits:
    """What one method got for each sample, NaN where a metric has nothing to say of it."""

    photographs: NDArray[np.int64]
    """Numbers of the samples' photographs, which are what a bootstrap draws."""
    found: NDArray[np.float64]
    """GT-known at the best threshold."""
    found_as_chosen: NDArray[np.float64]
    """GT-known at the threshold that was best on the other half."""
    pointed: NDArray[np.float64]
    swapped: NDArray[np.float64]
    threshold: float

    @classmethod
    def of(cls, records: Sequence[Record], thresholds: NDArray[np.float64], chosen: float | None) -> Credits:
        """From a method's records, the protocol's thresholds, and the one that was chosen elsewhere, if any was."""
        names = [photograph(record.image) for record in records]
        hits = np.array([record.ious.unpack() for record in records]) > FOUND
        best = int(hits.mean(axis=0).argmax())
        swaps = [record.values.get("swapped") for record in records]
        fixed = best if chosen is None else int(np.abs(thresholds - chosen).argmin())
        return cls(
            photographs=np.unique(names, return_inverse=True)[1],
            found=hits[:, best].astype(float),
            found_as_chosen=hits[:, fixed].astype(float),
            pointed=np.array([float(record.values["pointing"]) for record in records]),
            swapped=np.array([np.nan if ious is None else float(ious.unpack()[best] > FOUND) for ious in swaps]),
            threshold=float(thresholds[best]),
        )


def interval(gained: NDArray[np.float64], photographs: NDArray[np.int64]) -> str:
    """Mean and 95 % interval of what was gained, bootstrapped over photographs."""
    there = ~np.isnan(gained)
    if not there.any():
        return "–"
    count = int(photographs.max()) + 1
    sums = np.bincount(photographs[there], gained[there], count)
    counts = np.bincount(photographs[there], minlength=count)
    draws = np.random.default_rng(0).integers(count, size=(DRAWS, count))
    means = sums[draws].sum(axis=1) / np.maximum(counts[draws].sum(axis=1), 1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{gained[there].mean():.3f} [{low:.3f} {high:.3f}]"


def main() -> None:
    """Make what is missing of the runs, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    options.add_argument("--out", type=Path, default=Path("runs/photographs"), help="folder of the runs")
    options.add_argument("--encoder", default="photo")
    options.add_argument("--pretrained", default="auto", help="its weights, as of the program")
    options.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    options.add_argument("--methods", nargs="+", default=list(METHODS))
    options.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of passes without hooks")
    options.add_argument("--report-only", action="store_true", help="leave out the half that chooses")
    options.add_argument("--every", type=int, default=1, help="only every so many samples of a half, for slow methods")
    given = options.parse_args()
    encoder = load_encoder(given.encoder, pretrained=given.pretrained, dtype=given.dtype)
    parts = PARTS[1:] if given.report_only else PARTS
    for name in given.sets:
        loader, where = SETS[name]
        whole = open_dataset(loader, given.data / where)
        runs = {}
        for part in reversed(parts):
            half = Half.of(whole, part, given.every)
            out = given.out / f"{name}-{half.part}"
            runs[part] = compare(half, methods=given.methods, encoder=encoder, out=out, resume=out.exists())
        print("\n".join(table(name, runs)), flush=True)


def table(name: str, runs: Mapping[str, Run]) -> Iterator[str]:
    """Markdown of one data set's report half."""
    report, chosen = runs["report"], runs["choose"].chosen_thresholds() if "choose" in runs else {}
    thresholds = np.asarray(report.protocol.thresholds, np.float64)
    records: dict[str, list[Record]] = {}
    for record in report.records():
        records.setdefault(record.method, []).append(record)
    rows = {method: Credits.of(own, thresholds, chosen.get(method)) for method, own in records.items()}
    costs = {row.method: row.values for row in report.rows()}
    first, *_ = rows.values()
    samples, photographs = len(first.found), len(np.unique(first.photographs))
    yield f"### {name}: {samples} samples of {photographs} photographs\n"
    yield "| method | GT-known | at | at the threshold of the other half | pointing | swapped | presence | passes |"
    yield "|---|---|---|---|---|---|---|---|"
    for method, row in rows.items():
        presence, passes = costs[method].get("presence"), costs[method].get("forwards_per_image")
        cells = [
            f"`{method}`",
            interval(row.found, row.photographs),
            f"{row.threshold:.2f}",
            f"{row.found_as_chosen.mean():.3f}, {chosen[method]:.2f}" if chosen else "–",
            interval(row.pointed, row.photographs),
            interval(row.swapped, row.photographs),
            "–" if presence is None else f"{presence:.3f}",
            "–" if passes is None else f"{passes:.0f}",
        ]
        yield f"| {' | '.join(cells)} |"
    base = next(iter(rows))
    yield f"\n`{base}` minus the others, GT-known, paired:\n"
    yield from (
        f"- `{method}`: {interval(rows[base].found - row.found, row.photographs)}"
        for method, row in rows.items()
        if method != base
    )
    yield ""


if __name__ == "__main__":
    main()
