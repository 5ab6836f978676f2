"""The script that Streamlit runs, again from the top at each click. Everything is in :mod:`xtool_app.shell`."""

from xtool_app.shell import show_page

show_page()
