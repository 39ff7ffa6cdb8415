"""Models of other people's libraries, small or at their usual size, with random weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks.collection.entry import Entry, Example, images, on_images, tokens

_OPERATORS: list[torch.library.Library] = []

TORCHVISION: dict[str, tuple[str, int, Mapping[str, Any]]] = {  # name: (family, pixels, settings)
    **dict.fromkeys(
        ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "mnasnet0_5", "mobilenet_v2",
         "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18",
         "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
         "squeezenet1_1", "vgg11_bn"),
        ("convolution", 64, {}),
    ),
    "googlenet": ("convolution", 64, {"init_weights": False}),
    "inception_v3": ("convolution", 96, {"init_weights": False}),
    **dict.fromkeys(
        ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"), ("convolution", 64, {"weights_backbone": None})
    ),
    **dict.fromkeys(("swin_t", "swin_v2_t"), ("transformer", 64, {})),
}  # fmt: skip
VIDEO = ("mc3_18",)
SLIM = {"embed_dim": 48, "depth": 3, "num_heads": 3}
SQUARE = {"img_size": 64, "patch_size": 16, "embed_dim": 48}
TIMM: dict[str, tuple[str, int, Mapping[str, Any]]] = {
    **dict.fromkeys(
        ("ghostnet_100", "hrnet_w18_small", "res2net50_26w_4s", "skresnet18", "resnest14d", "dla34", "ese_vovnet19b_dw",
         "repvgg_a0", "nf_regnet_b0", "cs3darknet_focus_s", "mobileone_s0", "mixnet_s", "edgenext_xx_small",
         "inception_next_atto", "starnet_s1", "mobilenetv4_conv_small"),
        ("convolution", 64, {}),
    ),
    **dict.fromkeys(
        ("vit_small_patch32_224", "beit_base_patch16_224", "eva02_tiny_patch14_224"), ("transformer", 64, SQUARE | SLIM)
    ),
    "cait_xxs24_224": ("transformer", 64, SQUARE | SLIM),
    "pit_ti_224": ("transformer", 224, {}),
    "xcit_nano_12_p16_224": ("transformer", 64, SQUARE | SLIM),
    "levit_128s": ("transformer", 224, {}),
    "twins_svt_small": ("transformer", 224, {"embed_dims": (16, 32, 64, 128), "depths": (1, 1, 2, 1)}),
    "coat_lite_tiny": ("transformer", 64, {"img_size": 64}),
    "poolformerv2_s12": ("transformer", 64, {}),
    "mobilevit_xxs": ("transformer", 64, {}),
    "tiny_vit_5m_224": ("transformer", 224, {}),
}  # fmt: skip


CLASSES: dict[str, tuple[str, int, Mapping[str, Any]]] = {  # these take their sizes from the class alone
    "torchvision.models.vision_transformer.VisionTransformer": (
        "transformer", 32,
        {"image_size": 32, "patch_size": 8, "num_layers": 3, "num_heads": 4, "hidden_dim": 48, "mlp_dim": 96},
    ),
    "torchvision.models.maxvit.MaxVit": (
        "transformer", 64,
        {"input_size": (64, 64), "stem_channels": 16, "partition_size": 4, "block_channels": [16, 32],
         "block_layers": [1, 1], "head_dim": 8, "stochastic_depth_prob": 0.0},
    ),
    "timm.models.convmixer.ConvMixer": ("convolution", 64, {"dim": 64, "depth": 3}),
    "timm.models.mlp_mixer.MlpMixer": ("transformer", 64, {"num_blocks": 3, **SQUARE}),
}  # fmt: skip


def make_importable() -> dict[str, str]:
    """Returns why each library cannot be imported, empty where all can.

    torchvision's compiled operators may not fit this PyTorch. Its models do not need them, but its Python files
    describe them, so that operators of these names must exist: they are declared here, and do nothing.
    """
    missing: dict[str, str] = {}
    try:
        importlib.import_module("torchvision")
    except ImportError as error:
        missing["torchvision"] = str(error)
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _OPERATORS.append(library)
    for name in ("torchvision", "timm", "transformers"):
        try:
            importlib.import_module(name)
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"
    return missing


def entries() -> tuple[Entry, ...]:
    """Returns the models of the libraries; each is imported when it is made."""
    return (
        *(_torchvision(name, *rest) for name, rest in TORCHVISION.items()),
        *(Entry(f"torchvision {name}", "convolution", _video(name)) for name in VIDEO),
        *(_of_class(name, *rest) for name, rest in CLASSES.items()),
        *(_timm(name, *rest) for name, rest in TIMM.items()),
        *(Entry(f"transformers {name}", family, _hub(name)) for name, (family, *_) in HUB.items()),
    )


def _torchvision(name: str, family: str, pixels: int, settings: Mapping[str, Any]) -> Entry:
    def build() -> nn.Module:
        import torchvision

        return torchvision.models.get_model(name, weights=None, num_classes=10, **settings)

    return on_images(f"torchvision {name}", family, build, pixels)


def _video(name: str) -> Callable[[], tuple[nn.Module, Example]]:
    def make() -> tuple[nn.Module, Example]:
        import torchvision

        model = torchvision.models.get_model(name, weights=None, num_classes=10)
        return model, Example((torch.randn(2, 3, 4, 16, 16),))

    return make


def _of_class(name: str, family: str, pixels: int, settings: Mapping[str, Any]) -> Entry:
    module, _, kind = name.rpartition(".")

    def build() -> nn.Module:
        net: nn.Module = getattr(importlib.import_module(module), kind)(num_classes=10, **settings)
        return net

    return on_images(f"{name.partition('.')[0]} {kind}", family, build, pixels)


def _timm(name: str, family: str, pixels: int, settings: Mapping[str, Any]) -> Entry:
    def build() -> nn.Module:
        import timm

        return timm.create_model(name, num_classes=10, **settings)

    return on_images(f"timm {name}", family, build, pixels)


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
