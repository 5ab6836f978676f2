"""The web app: upload a picture, say what to look for, see where a model finds it.

What the app knows and does lives in modules that never import Streamlit, in this order of use:

- ``settings``: what the command line told the app
- ``pictures``: uploads and bundled scenes
- ``wording``: what people type, and what is told to them
- ``forms``: a method's options as form fields
- ``cost``: how long a search will take
- ``models``: loaded models, and the work kept for each picture
- ``search``: one search in a thread of its own, with progress, a question before slow work, and a stop
- ``drawing``, ``agreement``, ``export``: the answer as pictures, numbers and files

``page`` is the script that Streamlit runs, and ``shell`` the thin layer of widgets over the rest.
"""

from collections.abc import Iterator

from xtool.plugin import CommandSpec, hookimpl


@hookimpl
def xtool_commands() -> Iterator[CommandSpec]:
    yield CommandSpec(
        name="app",
        command="xtool_app.command:app_command",
        summary="Start the web app in a browser, for pictures and texts of your own.",
    )
