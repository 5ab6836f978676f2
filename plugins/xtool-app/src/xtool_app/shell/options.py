"""Choosing methods, and a form for the options of each."""

from __future__ import annotations

from typing import Any

import streamlit as st

from xtool.plugin import MethodRequest, config_class, registry
from xtool_app.forms import (
    FormField,
    MethodChoice,
    build_request,
    fields_of,
    presets_of,
    usable_methods,
)
from xtool_app.models import models
from xtool_app.shell.guard import guarded
from xtool_app.wording import duration, plain


def choose_methods(encoder: str, texts: int) -> tuple[MethodRequest, ...] | None:
    """The methods with their options; ``None`` where none is chosen, or an option was refused, which is said here."""
    offered = {choice.name: choice for choice in usable_methods(models().loaded(encoder))}
    key = f"methods of {encoder}"
    # More methods are offered once the model is loaded; what was chosen before stays chosen.
    chosen = st.session_state.get(key, list(offered)[:1])
    st.session_state[key] = [name for name in chosen if name in offered]
    chosen = st.multiselect(
        "Methods",
        list(offered),
        format_func=lambda name: offered[name].label,
        key=key,
        help="Each has its own way to say where the model looks; choose several to compare them. Only those that work "
        "on the model are listed, more of them once it is loaded.",
    )
    if not chosen:
        return None
    requests: list[MethodRequest] = []
    with st.expander("Options and cost of the methods"), guarded():
        requests.extend(_request(offered[method], encoder, texts) for method in chosen)
    return tuple(requests) if len(requests) == len(chosen) else None


def _request(choice: MethodChoice, encoder: str, texts: int) -> MethodRequest:
    method = choice.name
    spec = registry().saliency_methods.find(method).spec
    st.markdown(f"**{plain(method)}**")
    st.caption(plain(f"{spec.summary} {spec.paper}".strip()))
    preset = None
    if presets := presets_of(method):
        preset = st.selectbox("preset", [None, *presets], format_func=lambda p: p or "none", key=f"{method} preset")
    loaded = models().loaded(encoder)
    info = None if loaded is None else loaded.info
    fields = fields_of(config_class(spec), preset, architecture=info.architecture if info else None, encoder=info)
    values = {field.name: _ask(field, _key(field, method, preset, encoder, info is not None)) for field in fields}
    request = build_request(method, fields, values, preset)
    st.caption(_cost(choice, encoder, request, texts))
    return request


def _key(field: FormField, method: str, preset: str | None, encoder: str, loaded: bool) -> str:
    """Holds all that changes what the field offers, so that no stale value is shown for another encoder."""
    offers = f" {loaded}" if field.name in ("features", "layer") else ""
    return f"{method} {preset} {encoder}{offers} {field.name}"


def _cost(choice: MethodChoice, encoder: str, request: MethodRequest, texts: int) -> str:
    passes, speed = models().known_passes(encoder, request, texts), models().known_seconds_per_pass(encoder)
    if passes is None or speed is None:
        maps = ", C the number of feature maps" if "C" in choice.forwards else ""
        return f"Cost: {plain(choice.forwards)} passes through the model for a picture{maps}."
    return f"Cost: about {passes:,} passes through the model, {duration(passes * speed)} on this computer."


def _ask(field: FormField, key: str) -> Any:
    """The widget that suits the field, and its value."""
    label = field.name  # as on the command line: one name for one thing
    if field.optional:
        auto = st.toggle(f"{label}: auto", value=field.default is None, key=f"{key} auto", help=field.description)
        if auto:
            return None
    told: dict[str, Any] = {"key": key, "help": field.description or None}
    if field.kind == "switch":
        return st.checkbox(label, value=bool(field.default), **told)
    if field.kind == "choice":
        at = field.choices.index(field.default) if field.default in field.choices else 0
        return st.selectbox(label, field.choices, index=at, **told)
    if field.kind == "text":
        return st.text_input(label, value=str(field.default if field.default is not None else ""), **told)
    number = int if field.kind == "whole" else float
    low = None if field.minimum is None else number(field.minimum)
    high = None if field.maximum is None else number(field.maximum)
    value = number(field.default if field.default is not None else low or 1)
    step = 1 if field.kind == "whole" else 0.01
    form = None if field.kind == "whole" else "%g"
    return st.number_input(label, min_value=low, max_value=high, value=value, step=step, format=form, **told)
