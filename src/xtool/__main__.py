"""``python -m xtool``."""

from xtool.cli import main

main()
