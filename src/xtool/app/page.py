"""The script that Streamlit runs, again from the top at each click. Everything is in :mod:`xtool.app.shell`."""

from xtool.app.shell import show_page

show_page()
