"""A hook of mkdocs: the author's guide in ``docs/plugins/`` and other single pages join the navigation by themselves.

Their order in the guide is that of the file names, with ``index.md`` first; a title is the page's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

GUIDE = "plugins"
BEFORE = "Protocols"
PAGES = ("tiny-models.md", "towers.md")


def on_config(config: Any) -> Any:
    """Add what is there and not named in ``mkdocs.yml``."""
    docs = Path(config["docs_dir"])
    named = repr(config["nav"])
    guide = sorted((docs / GUIDE).rglob("*.md"), key=lambda path: (path.name != "index.md", path.as_posix()))
    listed: list[Any] = [path.relative_to(docs).as_posix() for path in guide]
    place = next(i for i, item in enumerate(config["nav"]) if BEFORE in item)
    if listed and f"{GUIDE}/" not in named:
        config["nav"].insert(place, {"Writing plugins": listed})
    config["nav"].extend(page for page in PAGES if (docs / page).is_file() and page not in named)
    return config
