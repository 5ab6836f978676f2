"""The web app: upload a picture, say what to look for, see where a model finds it.

What the app knows and does lives in modules that never import Streamlit, in this order of use:

- ``settings``: what the command line passed to the app
- ``pictures``: uploads and bundled pictures
- ``encoders``: the models on offer, and what each knows
- ``wording``: what people type, and what the app says to them
- ``forms``: the methods on offer, and their options as form fields
- ``evidence``: a method's evidence for each text, as bars
- ``models``: loaded models, and the work kept for each picture
- ``search``: one search in a thread of its own, with progress, a question before slow work, and a stop
- ``hosts``: the names of this computer that the page answers to, and where it can listen
- ``visitors``: who has left, whose search is stopped and whose memory is given back
- ``drawing``, ``agreement``, ``markup``, ``export``: the answer as pictures, numbers, HTML and files

``server`` is what Streamlit serves, ``page`` the script that it runs for each visitor, and ``shell`` the thin layer of
widgets over the rest.
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
