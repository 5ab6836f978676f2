"""Choosing methods, and a form for the options of each."""

from __future__ import annotations

from typing import Any

import streamlit as st

from xtool.plugin import MethodRequest, config_class, registry
from xtool_app.forms import FormField, build_request, fields_of, presets_of, usable_methods
from xtool_app.models import models
from xtool_app.shell.guard import guarded


def choose_methods(encoder: str) -> tuple[MethodRequest, ...] | None:
    """The methods with their options; ``None`` after having said what is missing."""
    info = models().info(encoder)
    summaries = usable_methods(info.architecture if info else None)
    names = list(summaries)
    suggested = [item.spec.name for item in registry().saliency_methods.suggested() if item.spec.name in names]
    chosen = st.multiselect(
        "Methods",
        names,
        default=(suggested or names)[:1],
        key="methods",
        help="Each finds its own way to say where the model looks; choose several to compare them.",
    )
    if not chosen:
        st.info("Choose at least one method.", icon=":material/tune:")
        return None
    requests = []
    for method in chosen:
        with st.expander(f"Options of {method}"), guarded():
            requests.append(_request(method, encoder, summaries[method]))
    return tuple(requests) if len(requests) == len(chosen) else None


def _request(method: str, encoder: str, summary: str) -> MethodRequest:
    provided = registry().saliency_methods.find(method)
    st.caption(f"{summary}" + (f" {provided.spec.paper}." if provided.spec.paper else ""))
    preset = None
    if presets := presets_of(method):
        preset = st.selectbox("Preset", [None, *presets], format_func=lambda p: p or "none", key=f"{method} preset")
    info = models().info(encoder)
    fields = fields_of(
        config_class(provided.spec), preset, architecture=info.architecture if info else None, encoder=info
    )
    # The key holds all that changes what a field offers, so that no stale value is shown for another encoder.
    where = f"{method} {preset} {encoder} {info is not None}"
    values = {field.name: _ask(field, f"{where} {field.name}") for field in fields}
    return build_request(method, fields, values, preset)


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
