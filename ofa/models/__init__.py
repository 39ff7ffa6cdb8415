"""Models to start from: plain modules, built as Model(input_shape, num_classes, ...)."""

from ofa.models.center_net import CenterNet
from ofa.models.gpt import GPT
from ofa.models.hub import from_timm, from_transformers
from ofa.models.lenet import LeNet5, LeNet5Caffe, LeNet300
from ofa.models.mlp import MLP
from ofa.models.mobilenet import MobileNet
from ofa.models.mobilenet_stage import Stage
from ofa.models.resnet import ResNet
from ofa.models.unet import UNet
from ofa.models.vit import ViT

__all__ = [
    "GPT",
    "MLP",
    "CenterNet",
    "LeNet5",
    "LeNet5Caffe",
    "LeNet300",
    "MobileNet",
    "ResNet",
    "Stage",
    "UNet",
    "ViT",
    "from_timm",
    "from_transformers",
]
