"""Weights files of every odd kind before a model that loads them: no code runs, and what is wrong is told."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.campaign.harness import Attack, Done, Tally, not_json, run, with_plugins
from tests.campaign.pictures import mutated
from xtool.testing.planted import planted_image

EXPLAIN = ("--text", "red", "--method", "gradcam", "--encoder", "tiny-rn", "--json")
State = dict[Any, Any]


class Payload:
    """What unpickling would run: it makes a file."""

    def __init__(self, marker: Path, how: int = 0) -> None:
        self.marker, self.how = marker, how

    def __reduce__(self) -> tuple[Any, ...]:
        code = f"open({str(self.marker)!r}, 'w').close()"
        return ((os.system, (f"touch {self.marker}",)), (exec, (code,)), (eval, (code,)))[self.how % 3]


class Key(Payload):
    """The same where a name should be."""

    def __hash__(self) -> int:
        return 0


def attack(given: Attack) -> Tally:
    with with_plugins("tiny", "cam"):
        from safetensors.torch import load_file

        import xtool_tiny.encoder  # noqa: F401 (once, before the forks)
        from xtool_tiny.models import weights_path

        return _attack(given, load_file(weights_path("tiny-rn")))


def _attack(given: Attack, state: State) -> Tally:
    tally = Tally("checkpoints, odd, damaged and hostile")
    picture, marker = given.folder / "picture.png", given.folder / "code-ran"
    planted_image({"red": (8, 8, 40, 40)}).save(picture)
    makers = [*HARMLESS, *HOSTILE, *ODD]
    given.chance.shuffle(makers)
    for number in range(given.count):
        make = makers[number] if number < len(makers) else damaged
        path = given.folder / f"{number}{'.safetensors' if make in SAFETENSORS else '.pt'}"
        make(path, dict(state), marker, given.chance)
        done = run(["explain", str(picture), *EXPLAIN, "--pretrained", str(path)])
        tally.judge(f"{number}: {make.__name__}", done, _wrong(done, path, marker, harmless=make in HARMLESS))
        path.unlink()
    return tally


def _wrong(done: Done, path: Path, marker: Path, *, harmless: bool) -> str:
    if marker.exists():
        marker.unlink()
        return "its code ran"
    if "\x1b[2J" in done.stdout + done.stderr:
        return "a control sequence is obeyed"
    if done.code == 0:
        return not_json(done.stdout)
    if harmless:
        return f"refused: {done.stderr[-300:]}"
    messages = sum(line.startswith("Error") for line in done.stderr.splitlines())
    named = path.name in "".join(done.stderr.split())
    return "" if messages == 1 and named else f"not told in one message that names the file: {done.stderr[-300:]}"


def half(path: Path, state: State, *_: Any) -> None:
    torch.save({key: value.half() for key, value in state.items()}, path)


def double(path: Path, state: State, *_: Any) -> None:
    torch.save({key: value.double() for key, value in state.items()}, path)


def parameters(path: Path, state: State, *_: Any) -> None:
    torch.save({key: torch.nn.Parameter(value.float()) for key, value in state.items()}, path)


def wrapped(path: Path, state: State, *_: Any) -> None:
    torch.save({"state_dict": {f"module._orig_mod.{key}": value for key, value in state.items()}, "epoch": 3}, path)


def legacy(path: Path, state: State, *_: Any) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def with_loss(path: Path, state: State, *_: Any) -> None:
    torch.save({"model": state, "loss": np.float64(0.5), "names": ["a"], 7: None}, path)


def code_alone(path: Path, _: State, marker: Path, chance: random.Random) -> None:
    path.write_bytes(pickle.dumps(Payload(marker, chance.randrange(3)), protocol=chance.randrange(6)))


def code_beside(path: Path, state: State, marker: Path, chance: random.Random) -> None:
    torch.save({**state, "extra": Payload(marker, chance.randrange(3))}, path)


def code_wrapped(path: Path, state: State, marker: Path, chance: random.Random) -> None:
    torch.save({"state_dict": state, "optimizer": [Payload(marker, chance.randrange(3))]}, path)


def code_legacy(path: Path, state: State, marker: Path, chance: random.Random) -> None:
    torch.save({**state, "x": Payload(marker, chance.randrange(3))}, path, _use_new_zipfile_serialization=False)


def code_as_key(path: Path, state: State, marker: Path, _: Any) -> None:
    torch.save({**state, Key(marker): 1}, path)


def code_in_an_array(path: Path, state: State, marker: Path, _: Any) -> None:
    torch.save({"model": state, "loss": np.array([Payload(marker)], object)}, path)


def program(path: Path, *_: Any) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def integer_keys(path: Path, state: State, *_: Any) -> None:
    torch.save(dict(enumerate(state.values())), path)


def tensor_keys(path: Path, state: State, *_: Any) -> None:
    torch.save({value: key for key, value in state.items()}, path)


def a_list(path: Path, state: State, *_: Any) -> None:
    torch.save(list(state.values()), path)


def a_tensor(path: Path, *_: Any) -> None:
    torch.save(torch.zeros(3), path)


def nothing(path: Path, *_: Any) -> None:
    torch.save({}, path)


def no_values(path: Path, state: State, *_: Any) -> None:
    torch.save(dict.fromkeys(state), path)


def itself(path: Path, state: State, *_: Any) -> None:
    circle: State = {**state}
    circle["state_dict"] = circle
    torch.save(circle, path)


def deep(path: Path, state: State, *_: Any) -> None:
    nested: Any = state
    for _level in range(200):
        nested = {"model": nested}
    torch.save(nested, path)


def with_nan(path: Path, state: State, _: Path, chance: random.Random) -> None:
    key = chance.choice(sorted(state))
    torch.save({**state, key: torch.full_like(state[key].float(), float("nan"))}, path)


def with_infinity(path: Path, state: State, _: Path, chance: random.Random) -> None:
    key = chance.choice(sorted(state))
    torch.save({**state, key: torch.full_like(state[key].float(), float("inf"))}, path)


def one_missing(path: Path, state: State, _: Path, chance: random.Random) -> None:
    del state[chance.choice(sorted(state))]
    torch.save(state, path)


def other_shape(path: Path, state: State, _: Path, chance: random.Random) -> None:
    key = chance.choice(sorted(state))
    torch.save({**state, key: torch.zeros(2, 3, 5)}, path)


def other_kind(path: Path, state: State, _: Path, chance: random.Random) -> None:
    key = chance.choice(sorted(state))
    kinds = (torch.int8, torch.int64, torch.bool, torch.complex64, torch.uint8)
    torch.save({**state, key: state[key].to(chance.choice(kinds))}, path)


def sparse(path: Path, state: State, *_: Any) -> None:
    torch.save({key: value.float().to_sparse() if value.ndim == 2 else value for key, value in state.items()}, path)


def quantized(path: Path, state: State, *_: Any) -> None:
    kept = {key: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8) for key, value in state.items()}
    torch.save(kept, path)


def no_storage(path: Path, state: State, *_: Any) -> None:
    torch.save({key: value.to("meta") for key, value in state.items()}, path)


def enormous_view(path: Path, state: State, _: Path, chance: random.Random) -> None:
    """A few bytes on disk that claim to be terabytes."""
    torch.save({**state, chance.choice(sorted(state)): torch.zeros(1).expand(2**20, 2**20)}, path)


def control_names(path: Path, state: State, *_: Any) -> None:
    torch.save({f"\x1b[2J\u202e[red]{key}": value for key, value in state.items()}, path)


def long_names(path: Path, state: State, *_: Any) -> None:
    torch.save({"a" * 1_000_000 + key: value for key, value in list(state.items())[:3]}, path)


def many_prefixes(path: Path, state: State, *_: Any) -> None:
    torch.save({"module." * 2000 + key: value for key, value in list(state.items())[:5]}, path)


def other_model(path: Path, *_: Any) -> None:
    torch.save(torch.nn.TransformerEncoderLayer(8, 2).state_dict(), path)


def empty(path: Path, *_: Any) -> None:
    path.write_bytes(b"")


def a_page(path: Path, *_: Any) -> None:
    path.write_text("<!doctype html><title>404</title>")


def a_pointer(path: Path, *_: Any) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 3150098\n")


def empty_zip(path: Path, *_: Any) -> None:
    zipfile.ZipFile(path, "w").close()


def bomb(path: Path, *_: Any) -> None:
    """A zip of 200 kB that would be 200 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * 100_000_000)
        packed.writestr("archive/version", "3\n")


def header_too_long(path: Path, *_: Any) -> None:
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")


def header_deep(path: Path, *_: Any) -> None:
    _header(path, b"[" * 100_000)


def header_overlaps(path: Path, *_: Any) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    _header(path, json.dumps({"a": entry, "b": entry}).encode(), bytes(16))


def header_beyond(path: Path, *_: Any) -> None:
    entry = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    _header(path, json.dumps({"visual.conv1.weight": entry}).encode(), bytes(16))


def header_strange(path: Path, *_: Any) -> None:
    entry = {"dtype": "\x1b[2J", "shape": [-1], "data_offsets": [16, 0]}
    _header(path, json.dumps({"\x1b[2J": entry}).encode())


def damaged(path: Path, state: State, _: Path, chance: random.Random) -> None:
    """Bytes changed, lost or doubled, mostly where a file says what is in it."""
    stream = BytesIO()
    small = {key: value for key, value in state.items() if value.numel() < 5000}
    torch.save(small if chance.random() < 0.3 else state, stream)
    path.write_bytes(mutated(stream.getvalue(), chance))


def _header(path: Path, header: bytes, data: bytes = b"") -> None:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


HARMLESS = (half, double, parameters, wrapped, legacy, with_loss)
"""Weights as people keep them: they have to load."""
HOSTILE = (code_alone, code_beside, code_wrapped, code_legacy, code_as_key, code_in_an_array, program)
SAFETENSORS = (header_too_long, header_deep, header_overlaps, header_beyond, header_strange)
ODD = (
    integer_keys, tensor_keys, a_list, a_tensor, nothing, no_values, itself, deep, with_nan, with_infinity,
    one_missing, other_shape, other_kind, sparse, quantized, no_storage, enormous_view, control_names, long_names,
    many_prefixes, other_model, empty, a_page, a_pointer, empty_zip, bomb, *SAFETENSORS,
)  # fmt: skip
