"""timm and transformers for tests: skipped where they are not installed."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

_OPERATORS: list[torch.library.Library] = []


def timm() -> Any:
    """Returns timm."""
    _make_importable()
    return pytest.importorskip("timm", exc_type=ImportError)


def transformers() -> Any:
    """Returns transformers."""
    _make_importable()
    return pytest.importorskip("transformers", exc_type=ImportError)


def _make_importable() -> None:
    """Declares torchvision's operators where those that it has do not fit this PyTorch: its Python files are enough."""
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _OPERATORS.append(library)


GPT2 = {
    **{"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "vocab_size": 32},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
}
VIT = {
    **{"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 32, "patch_size": 4},
}
