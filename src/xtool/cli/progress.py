"""Progress bars on stderr, silent if standard error is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from xtool.cli.terminal import console

if TYPE_CHECKING:
    from rich.progress import Task

    from xtool.evaluator.comparison import Progress as RunProgress


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.2f} images/s" if speed else "", style="progress.data.speed")


@contextmanager
def progress_bar() -> Iterator[Callable[[RunProgress], None]]:
    """Yield a callback that moves the bar; nothing is drawn when stderr is not a terminal."""
    terminal = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("images", total=None)

        def on_progress(state: RunProgress) -> None:
            told = f"images ({state.failed} failed)" if state.failed else "images"
            progress.update(task, total=state.total, completed=state.done, description=told)

        yield on_progress


@contextmanager
def pass_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Yield a callback for passes through the encoder; nothing is drawn when stderr is not a terminal.

    ``total`` may be too high: the bar disappears when the block ends.
    """
    terminal = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as progress:
        task = progress.add_task("passes through the encoder", total=total)
        yield lambda images: progress.advance(task, images)
