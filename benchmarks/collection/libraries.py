"""Models of torchvision and timm, small or at their usual size, with random weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks.collection.entry import Entry, Example, on_images

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
    """Returns the models of both libraries; each is imported when it is made."""
    return (
        *(_torchvision(name, *rest) for name, rest in TORCHVISION.items()),
        *(Entry(f"torchvision {name}", "convolution", _video(name)) for name in VIDEO),
        *(_of_class(name, *rest) for name, rest in CLASSES.items()),
        *(_timm(name, *rest) for name, rest in TIMM.items()),
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
