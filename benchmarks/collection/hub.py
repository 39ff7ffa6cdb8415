"""Models of Hugging Face transformers, small, with random weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks.collection.entry import Entry, Example, images, tokens

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 64}
DECODER = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 64, "head_dim": 8}
VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
          "image_size": 32, "patch_size": 8}  # fmt: skip
STAGES = {"hidden_sizes": [16, 32, 48, 64], "depths": [2, 2, 2, 2]}


def _ids() -> Example:
    return Example((), {"input_ids": tokens()})


def _masked_ids() -> Example:
    return Example((), {"input_ids": tokens(), "attention_mask": torch.ones(2, 12, dtype=torch.long)})


def _pixels(size: int = 32) -> Callable[[], Example]:
    return lambda: Example((), {"pixel_values": images(size).args[0]})


def _cached(**more: Any) -> Mapping[str, Any]:
    return {**DECODER, "use_cache": False, **more}


# name: (family, class of the model, class of its configuration, settings, example)
HUB: dict[str, tuple[str, str, str, Mapping[str, Any], Callable[[], Example]]] = {
    "BERT": ("transformer", "BertForSequenceClassification", "BertConfig", SMALL, _masked_ids),
    "RoBERTa": ("transformer", "RobertaForMaskedLM", "RobertaConfig", SMALL, _ids),
    "ALBERT": ("transformer", "AlbertModel", "AlbertConfig", {**SMALL, "embedding_size": 24}, _ids),
    "ELECTRA": ("transformer", "ElectraModel", "ElectraConfig", {**SMALL, "embedding_size": 24}, _ids),
    "DistilBERT": (
        "transformer", "DistilBertModel", "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 64}, _masked_ids,
    ),
    "GPT-2": (
        "transformer", "GPT2LMHeadModel", "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64, "n_positions": 64, "use_cache": False}, _ids,
    ),
    "GPT-NeoX": ("transformer", "GPTNeoXForCausalLM", "GPTNeoXConfig", {**SMALL, "use_cache": False}, _ids),
    "OPT": (
        "transformer", "OPTForCausalLM", "OPTConfig",
        {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32, "use_cache": False}, _ids,
    ),
    "Llama": ("transformer", "LlamaForCausalLM", "LlamaConfig", _cached(), _ids),
    "Mistral": ("transformer", "MistralForCausalLM", "MistralConfig", _cached(), _ids),
    "Qwen3": ("transformer", "Qwen3ForCausalLM", "Qwen3Config", _cached(), _ids),
    "Gemma": ("transformer", "GemmaForCausalLM", "GemmaConfig", _cached(), _ids),
    "Phi": (
        "transformer", "PhiForCausalLM", "PhiConfig",
        {**SMALL, "use_cache": False, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}, _ids,
    ),
    "Mamba": ("recurrent", "MambaModel", "MambaConfig", {**SMALL, "use_cache": False, "state_size": 8}, _ids),
    "T5": (
        "transformer", "T5ForConditionalGeneration", "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 64, "use_cache": False},
        lambda: Example((), {"input_ids": tokens(12), "decoder_input_ids": tokens(9)}),
    ),
    "BART": (
        "transformer", "BartModel", "BartConfig",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "vocab_size": 64,
         "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "use_cache": False},
        lambda: Example((), {"input_ids": tokens(12), "decoder_input_ids": tokens(9)}),
    ),
    "ViT": ("transformer", "ViTForImageClassification", "ViTConfig", VISION, _pixels()),
    "DeiT": ("transformer", "DeiTForImageClassification", "DeiTConfig", VISION, _pixels()),
    "DINOv2": ("transformer", "Dinov2Model", "Dinov2Config", VISION, _pixels()),
    "CLIP vision": ("transformer", "CLIPVisionModel", "CLIPVisionConfig", VISION, _pixels()),
    "SigLIP vision": ("transformer", "SiglipVisionModel", "SiglipVisionConfig", VISION, _pixels()),
    "Swin": (
        "transformer", "SwinForImageClassification", "SwinConfig",
        {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "image_size": 32, "patch_size": 4},
        _pixels(),
    ),
    "SegFormer": (
        "transformer", "SegformerForSemanticSegmentation", "SegformerConfig",
        {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 4, 4],
         "decoder_hidden_size": 32}, _pixels(64),
    ),
    "Whisper encoder": (
        "transformer", "WhisperEncoder", "WhisperConfig",
        {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64, "num_mel_bins": 16,
         "max_source_positions": 20, "decoder_layers": 1, "vocab_size": 64, "pad_token_id": 0},
        lambda: Example((torch.randn(2, 16, 40),)),
    ),
    "Wav2Vec2": (
        "transformer", "Wav2Vec2Model", "Wav2Vec2Config",
        {**SMALL, "conv_dim": [16, 16], "conv_stride": [4, 2], "conv_kernel": [8, 4], "num_conv_pos_embeddings": 8,
         "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2}, lambda: Example((torch.randn(2, 400),)),
    ),
    "DETR": (
        "transformer", "DetrModel", "DetrConfig",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "num_queries": 6,
         "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "use_timm_backbone": False,
         "use_pretrained_backbone": False}, _pixels(64),
    ),
    "ResNet": (
        "convolution", "ResNetForImageClassification", "ResNetConfig",
        {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [2, 3]}, _pixels(64),
    ),
    "RegNet": (
        "convolution", "RegNetForImageClassification", "RegNetConfig",
        {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [2, 3], "groups_width": 8}, _pixels(64),
    ),
    "ConvNeXt": ("convolution", "ConvNextForImageClassification", "ConvNextConfig", STAGES, _pixels(64)),
    "MobileNetV1": (
        "convolution", "MobileNetV1ForImageClassification", "MobileNetV1Config",
        {"depth_multiplier": 0.25, "image_size": 64}, _pixels(64),
    ),
    "MobileNetV2": (
        "convolution", "MobileNetV2ForImageClassification", "MobileNetV2Config",
        {"depth_multiplier": 0.35, "image_size": 64}, _pixels(64),
    ),
    "EfficientNet": (
        "convolution", "EfficientNetForImageClassification", "EfficientNetConfig",
        {"width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640, "image_size": 64}, _pixels(64),
    ),
    "PoolFormer": ("convolution", "PoolFormerForImageClassification", "PoolFormerConfig", STAGES, _pixels(64)),
}  # fmt: skip


def _hub(name: str) -> Callable[[], tuple[nn.Module, Example]]:
    def make() -> tuple[nn.Module, Example]:
        import transformers

        _, model, config, settings, example = HUB[name]
        classes: Any = transformers
        if not hasattr(classes, model):
            classes = importlib.import_module("transformers.models.whisper.modeling_whisper")
        more = {"num_labels": 10} if "Classification" in model or "Segmentation" in model else {}
        built: nn.Module = getattr(classes, model)(getattr(transformers, config)(**settings, **more))
        return built, example()

    return make


def entries() -> tuple[Entry, ...]:
    """Returns the models of transformers; each is imported when it is made."""
    return tuple(Entry(f"transformers {name}", family, _hub(name)) for name, (family, *_) in HUB.items())
