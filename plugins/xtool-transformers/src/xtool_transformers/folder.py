"""A folder in Hugging Face's layout: its configuration, weights and tokenizer, through transformers' own code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from xtool.loading import misfit, read_checkpoint, seeded, sha256
from xtool.plugin import SetupError
from xtool_transformers.families import Family
from xtool_transformers.models import CONFIG, WEIGHTS

__all__ = ["load_checkpoint", "random_model", "read_config", "read_model", "read_tokenizer", "weights_digest"]


def read_config(folder: Path, name: str, kind: str) -> Any:
    """The configuration of a model. Raises :class:`xtool.plugin.SetupError` for one that makes no sense."""
    with _quiet(), _told(f"{name}: the configuration in {folder / CONFIG} does not describe a {kind} model"):
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)


def random_model(folder: Path, name: str, config: Any, family: Family, seed: int) -> nn.Module:
    """The model that a configuration describes, in float32 and eval mode, with random weights.

    Raises :class:`xtool.plugin.SetupError` for a configuration that makes no sense.
    """
    with _quiet(), _told(f"{name}: cannot build a {family.model} from {folder / CONFIG}"), seeded(seed):
        model: nn.Module = getattr(transformers, family.model)(config)
        return model.float().eval()


def read_model(folder: Path, name: str, config: Any, family: Family) -> nn.Module:
    """The model in float32 and eval mode, with the weights in the folder.

    Raises :class:`xtool.plugin.SetupError` for weights that are missing, damaged, or do not fill the model.
    """
    kind: Any = getattr(transformers, family.model)
    # It begins with random weights, which must not disturb the caller's random numbers.
    with _quiet(), _told(f"{name}: cannot load a {family.model} from {folder}"), seeded(0):
        model, found = kind.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    missing = sorted(found["missing_keys"])
    if missing:
        raise SetupError(
            f"{name}: {folder} has no weights for {len(missing)} tensors of a {family.model}, the first {missing[0]}; "
            "they are those of another kind of model, or of a part of one"
        )
    read: nn.Module = model.float().eval()
    return read


def load_checkpoint(model: nn.Module, name: str, file: Path) -> None:
    """Load a checkpoint of training into a model, whatever was put around its weights.

    Raises :class:`xtool.plugin.SetupError` for a file that is damaged or of another model.
    """
    own = model.state_dict()
    state = read_checkpoint(file, own)
    # Older releases of transformers kept the numbers of positions among the weights.
    state = {key: value for key, value in state.items() if key in own or not key.endswith("position_ids")}
    told = misfit(state, own)
    if not told:
        try:
            model.load_state_dict(state)
            return
        except RuntimeError as error:
            told = " ".join(str(error).split())[:300]
    raise SetupError(f"weights {file} do not fit {name}: {told}")


def read_tokenizer(folder: Path, name: str) -> Any:
    """The model's own tokenizer. Raises :class:`xtool.plugin.SetupError` where it is missing or cannot be used."""
    with _quiet(), _told(f"{name}: cannot load the tokenizer in {folder}"):
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def weights_digest(folder: Path) -> str:
    """The SHA-256 of the weights file; of a model in parts, that of the names and digests of all parts."""
    file = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    if file.suffix != ".json":
        return sha256(file)
    parts = sorted(set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
    listed = "".join(f"{sha256(folder / part)}  {part}\n" for part in parts)
    return hashlib.sha256(listed.encode()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and reports: what matters of them is told as an error."""
    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Errors of transformers, which raises nearly anything, as :class:`SetupError` with ``what`` before the reason."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SetupError(f"{what}: {reason if len(reason) <= 400 else reason[:400] + '…'}") from error
