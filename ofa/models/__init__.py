"""Models to start from: plain modules, built as Model(input_shape, num_classes, ...)."""

from ofa.models.lenet import LeNet5, LeNet5Caffe, LeNet300
from ofa.models.mobilenet import MobileNet
from ofa.models.mobilenet_stage import Stage
from ofa.models.resnet import ResNet

__all__ = ["LeNet5", "LeNet5Caffe", "LeNet300", "MobileNet", "ResNet", "Stage"]
