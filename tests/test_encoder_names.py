"""Which encoder a name means: in any spelling, behind a prefix, or by what a folder or a repository holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xtool.contracts.catalogue import Provided
from xtool.contracts.encoder_names import EncoderCatalogue
from xtool.contracts.specs import EncoderSpec
from xtool.engine import encoder_names
from xtool.engine.encoder_names import find_encoder
from xtool.engine.encoders import load_encoder
from xtool.errors import UsageError
from xtool.loading import DownloadError, ModelFiles


def spec(name: str, claims: str = "") -> EncoderSpec:
    return EncoderSpec(name=name, factory="a:b", summary="", claims=claims)


@pytest.fixture
def encoders() -> EncoderCatalogue:
    names = ("ViT-B-32", "ViT-L-14-336", "RN50", "RN50x4", "near", "ne-ar")
    provided = [Provided("own", spec(name)) for name in names]
    provided += [Provided("own", spec("dir:", "is_dir")), Provided("own", spec("hub:", "is_hub"))]
    provided += [Provided("same", spec("same:"))]  # called as its plugin is
    return EncoderCatalogue("encoder", "encoders", provided, "none")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ViT-B-32", "ViT-B-32"),
        ("ViT-B/32", "ViT-B-32"),
        ("vit_b_32", "ViT-B-32"),
        ("ViT-L/14@336px", "ViT-L-14-336"),
        ("rn50X4", "RN50x4"),
        ("own:RN50", "RN50"),
        ("hub:org/name", "hub:org/name"),
        ("dir:/a folder/x:y", "dir:/a folder/x:y"),
        ("own:hub:org/name", "hub:org/name"),
        ("hub:", "hub:"),
        ("same:x", "same:x"),
    ],
)
def test_a_name_in_any_spelling_or_behind_a_prefix_finds_its_encoder(
    encoders: EncoderCatalogue, typed: str, meant: str
) -> None:
    assert encoders.find(typed).spec.name == meant


@pytest.mark.parametrize("typed", ["./ViT-B-32", "NEAR", "ViT-B-33", "other:hub:org/name"])
def test_neither_a_path_nor_what_may_be_two_names_is_respelt(encoders: EncoderCatalogue, typed: str) -> None:
    with pytest.raises(UsageError, match=f"unknown encoder '{typed}'"):
        encoders.find(typed)


def test_an_unknown_name_gets_the_nearest_ones_and_the_ways_out(encoders: EncoderCatalogue) -> None:
    with pytest.raises(UsageError) as caught:
        encoders.find("RN51")
    told = str(caught.value)
    for words in (
        "did you mean RN50",
        "`xtool encoders` lists all",
        "dir:…, hub:…, same:…, a folder",
        "--pretrained PATH",
    ):
        assert words in told


def test_what_a_name_behind_a_prefix_belongs_to_is_its_owner(encoders: EncoderCatalogue) -> None:
    assert encoders.owners("hub:org/name") == {"own"}
    assert encoders.owners("vit_b_32") == set(), "an encoder made by hand may be called so"


Claims = dict[str, Callable[[ModelFiles], bool]]


@pytest.fixture
def claims(encoders: EncoderCatalogue, monkeypatch: pytest.MonkeyPatch) -> Claims:
    """What the two prefixes claim; a test may put others in their place."""
    functions: Claims = {
        "is_dir": lambda files: files.folder is not None and files.get("mine.json") is not None,
        "is_hub": lambda files: files.folder is None and files.place == "org/mine",
    }
    monkeypatch.setattr(encoder_names, "registry", lambda: SimpleNamespace(encoders=encoders))
    monkeypatch.setattr(encoder_names, "resolve", functions.__getitem__)
    return functions


def test_a_folder_and_a_repository_go_to_the_prefix_that_claims_them(claims: Claims, tmp_path: Path) -> None:
    (tmp_path / "mine.json").touch()
    assert find_encoder(str(tmp_path)).spec.name == f"dir:{tmp_path}"
    assert find_encoder("org/mine").spec.name == "hub:org/mine"


def test_a_listed_name_is_not_looked_for_elsewhere(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelFiles, "named", lambda *_: pytest.fail("looked elsewhere"))
    assert find_encoder("ViT-B/32").spec.name == "ViT-B-32"


def test_a_folder_that_nobody_claims_says_what_it_is(claims: Claims, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match=rf"the folder {tmp_path} holds; its config\.json says model_type 'bert'"):
        find_encoder(str(tmp_path))


def test_what_two_claim_is_refused_with_both_names(claims: Claims) -> None:
    claims["is_dir"] = claims["is_hub"] = lambda files: True
    with pytest.raises(UsageError, match="the repository org/both may be dir:org/both or hub:org/both: say which"):
        find_encoder("org/both")


def test_a_hub_that_cannot_be_asked_is_told_beside_the_unknown_name(claims: Claims) -> None:
    def unreachable(files: ModelFiles) -> Any:
        raise DownloadError("no such repository")

    claims["is_hub"] = unreachable
    with pytest.raises(UsageError, match=r"(?s)unknown encoder 'org/gone'.*looked for on the hub: no such repository"):
        find_encoder("org/gone")


def test_what_one_claims_needs_no_answer_to_anothers_question(claims: Claims) -> None:
    def unreachable(files: ModelFiles) -> bool:
        raise DownloadError("no network")

    claims["is_dir"], claims["is_hub"] = unreachable, lambda files: True
    assert find_encoder("org/model").spec.name == "hub:org/model"


def test_a_prefix_alone_is_no_encoder(claims: Claims) -> None:
    with pytest.raises(UsageError, match="hub: is only the beginning of a name"):
        load_encoder("hub:")
