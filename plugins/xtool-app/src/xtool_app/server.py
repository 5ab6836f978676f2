"""What ``streamlit run`` serves: the page, for known hosts, with an eye on who has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.middleware import Middleware
from streamlit import runtime
from streamlit.starlette import App

from xtool_app import settings
from xtool_app.hosts import KnownHosts
from xtool_app.visitors import visitors

EVERY = 2.0
"""Seconds between two looks at who is still there."""


async def _watch() -> None:
    while True:
        await asyncio.sleep(EVERY)
        server = runtime.get_instance()
        visitors().look(server.is_active_session, server.close_session)


@asynccontextmanager
async def _watched(_: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(_watch())
    yield
    task.cancel()


app = App(
    "page.py",
    middleware=[Middleware(KnownHosts, names=settings.current().hosts)],
    lifespan=_watched,
)
