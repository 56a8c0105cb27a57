"""Optimisation of a detector for scoring: BatchNorm folded into convolutions, and faster layers with the same results."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import linear
from torch.nn.utils.fusion import fuse_conv_bn_eval

from whalescan.detector.network import Detector


def prepare_for_inference(detector: Detector, device: torch.device, dtype: torch.dtype) -> Detector:
    """Return a detector optimised for scoring on a device; the argument must not be used any more."""
    detector.eval()
    detector.network = _optimised(detector.network, device, dtype)
    return detector.to(device=device)


def _optimised(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a network without BatchNorm, on a device; on a processor, matrix products replace wide 1 x 1 convolutions.

    The argument must be in evaluation mode, and must not be used any more.
    """
    _fold_batch_norms(network)
    network.to(device, dtype).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        _replace_pointwise_convolutions(network)
        if dtype == torch.bfloat16:
            _replace_rectifiers(network)
    return network


def _fold_batch_norms(network: nn.Module) -> None:
    """Fold every BatchNorm into the convolution whose output it alone takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # caused by torch.fx itself
        graph = fx.symbolic_trace(network).graph
    modules = dict(network.named_modules())
    for node in graph.nodes:
        source = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(source, fx.Node) or source.op != "call_module":
            continue
        convolution, batch_norm = modules[str(source.target)], modules[str(node.target)]
        if type(convolution) is nn.Conv2d and type(batch_norm) is nn.BatchNorm2d and len(source.users) == 1:
            _replace_module(network, str(source.target), fuse_conv_bn_eval(convolution, batch_norm))
            _replace_module(network, str(node.target), nn.Identity())


class _PointwiseConvolution(nn.Module):
    """A 1 x 1 convolution, computed as a matrix product.

    The results are those of the convolution. In bfloat16, oneDNN's products of wide layers are up to 7 times as fast as its
    convolutions, which reorder the weights in each call (``benchmarks/README.md``).
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight[:, :, 0, 0].contiguous(), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return the convolution of features in channels-last layout, which are a matrix of channels already."""
        return linear(features.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


_MIN_CHANNELS = 256
"""Number of input channels from which a product is faster."""


def _replace_pointwise_convolutions(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1) or module.groups > 1:
            continue
        if module.stride == (1, 1) and module.in_channels >= _MIN_CHANNELS:
            _replace_module(network, name, _PointwiseConvolution(module))


class _IntegerRelu(nn.Module):
    """ReLU of bfloat16 numbers, computed on their bits: a number with its sign bit set is below 0 as an integer, too.

    The results are the same; torch's own ReLU converts to float32, and takes four times as long.
    """

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self._inplace = inplace

    def forward(self, features: Tensor) -> Tensor:
        """Return the rectified features, in any layout."""
        bits = features.view(torch.int16)
        return (bits.clamp_(min=0) if self._inplace else bits.clamp(min=0)).view(torch.bfloat16)


def _replace_rectifiers(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ReLU):
            _replace_module(network, name, _IntegerRelu(module.inplace))


def _replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
