"""Runtimes: one small file per way to run a network."""

from search.device.runtimes.cuda import CudaGraph, TorchCuda
from search.device.runtimes.executorch import ExecuTorch
from search.device.runtimes.ncnn import Ncnn
from search.device.runtimes.onnxruntime import OnnxRuntime
from search.device.runtimes.openvino import OpenVino
from search.device.runtimes.torch_compile import TorchCompile
from search.device.runtimes.torch_eager import TorchEager

__all__ = ["CudaGraph", "ExecuTorch", "Ncnn", "OnnxRuntime", "OpenVino", "TorchCompile", "TorchCuda", "TorchEager"]
