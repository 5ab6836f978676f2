"""xtool."""
