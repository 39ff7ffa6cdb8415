"""Runtimes: the ways to run a network, one class each."""

from search.device.runtimes.cuda import CudaGraph, TorchCuda
from search.device.runtimes.ncnn import Ncnn
from search.device.runtimes.portable import ExecuTorch, OnnxRuntime, OpenVino
from search.device.runtimes.pytorch import TorchCompile, TorchEager

__all__ = ["CudaGraph", "ExecuTorch", "Ncnn", "OnnxRuntime", "OpenVino", "TorchCompile", "TorchCuda", "TorchEager"]
