"""All checks of a saliency method."""

from __future__ import annotations

from collections.abc import Callable

from xtool.contracts.config import MaskConfig
from xtool.engine.methods import parse_methods
from xtool.testing.checks.method_config import CONFIG_CHECKS
from xtool.testing.checks.method_evidence import planted_evidence
from xtool.testing.checks.method_hygiene import HYGIENE_CHECKS
from xtool.testing.checks.method_output import (
    DEAD_MAP_CHECKS,
    OUTPUT_CHECKS,
    own_texts_equal_singles,
    works_in_inference_mode,
)
from xtool.testing.checks.method_subject import MethodSubject
from xtool.testing.checks.spec import cases, spec_cases
from xtool.testing.setups import DEAD_MAPS, POOL, SETUPS
from xtool.testing.verdict import Case


def plan_method(name: str) -> list[Case]:
    """Checks of the spec and the options, then of the method on each planted encoder that it is made for.

    A method that masks also meets an encoder that pools under masks.
    """
    (request,) = parse_methods([name])
    spec = request.provided.spec
    planned = [*spec_cases(request.provided.owner, spec), *cases(CONFIG_CHECKS, request.provided)]
    unasked = set() if spec.own_texts else {own_texts_equal_singles}
    if "gradients" in spec.requires:
        unasked.add(works_in_inference_mode)

    def asked(*checks: Callable[[MethodSubject], None]) -> list[Callable[[MethodSubject], None]]:
        return [check for check in checks if check not in unasked]

    for architecture in spec.architectures:
        checks = asked(*OUTPUT_CHECKS, *HYGIENE_CHECKS, planted_evidence)
        planned += cases(checks, MethodSubject(request, SETUPS[architecture]), architecture)
    if "cnn" in spec.architectures:
        planned += cases(asked(*DEAD_MAP_CHECKS), MethodSubject(request, DEAD_MAPS), DEAD_MAPS.name)
        if isinstance(request.config, MaskConfig):
            planned += cases(asked(*OUTPUT_CHECKS, planted_evidence), MethodSubject(request, POOL), POOL.name)
    return planned
