"""The widgets of the page: a thin layer that asks, calls and shows. All logic is in the modules next to it."""

from xtool_app.shell.layout import show_page

__all__ = ["show_page"]
