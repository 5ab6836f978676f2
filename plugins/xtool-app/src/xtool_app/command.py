"""``xtool app``: the web app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xtool.plugin import calibration_option, encoder_options


@click.command("app")
@click.option("--host", default="localhost", show_default=True, help="Address to listen on; 0.0.0.0 lets others in.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port to listen on.")
@encoder_options
@calibration_option
def app_command(*, host: str, port: int, encoder: str | None, loading: dict[str, Any], calibration: str | None) -> None:
    """Start the web app: upload a picture, say what to look for, see where a model finds it.

    It can be reached from this computer only, unless --host says otherwise. It keeps uploads in memory, writes nothing
    to disk and sends no usage statistics.
    """
    from xtool.plugin import find_encoder, registry

    encoders = registry().encoders
    if encoder is not None:
        # A misspelt name is told here, not in the browser.
        encoder = encoders.name_of(find_encoder(encoder, loading["cache_dir"]))
    else:
        encoders.default()  # and so is a missing plugin
    from xtool_app import settings
    from xtool_app.hosts import check_address, names_for

    check_address(host, port)
    hosts = names_for(host)
    if not hosts:
        click.echo(f"Listening on {host}: whoever reaches this address can use the app.", err=True)
    asked = settings.Settings(encoder=encoder, loading={**loading, "calibration": calibration}, hosts=hosts)
    settings.configure(asked)
    from streamlit.web import cli

    cli.main(server_arguments(host, port), prog_name="xtool app", standalone_mode=False)


def server_arguments(host: str, port: int) -> list[str]:
    """Streamlit's command line: private, quiet, and without its developers' tools."""
    from xtool_app.pictures import MAX_MEGABYTES

    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",  # otherwise Streamlit's first start asks for an e-mail address
        "server.maxUploadSize": str(MAX_MEGABYTES),
        "server.fileWatcherType": "none",  # it would walk through every module of torch
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        # One for each: a colour for both would end the choice between light and dark by the system's setting.
        "theme.light.primaryColor": "#5b4bdb",
        "theme.dark.primaryColor": "#8b7dff",
        "theme.baseRadius": "large",
    }
    script = Path(__file__).with_name("server.py")
    return ["run", str(script), *(f"--{name}={value}" for name, value in options.items())]
