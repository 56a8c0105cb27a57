"""The detector: front end and network as one module, the same in training and in scanning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import timm
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.functional import linear

from whalescan.core import ModelError
from whalescan.detector.frontend import N_CHANNELS, FrontEnd
from whalescan.detector.model_spec import FrontEndOptions

KERAS_EPS = 1e-3
"""The ImageNet weights were trained with Keras' BatchNorm epsilon; timm's 1e-5 shifts every feature."""


class Detector(nn.Module):
    """Windows of sound to one logit per class.

    Shape:
        - windows: float32 ``[n_windows, window_samples]``, any scale
        - logits: float32 ``[n_windows, n_classes]``
    """

    def __init__(self, architecture: str, options: FrontEndOptions, n_classes: int) -> None:
        super().__init__()
        self.frontend = FrontEnd(options)
        try:
            self.network: nn.Module = timm.create_model(architecture, num_classes=n_classes, in_chans=N_CHANNELS)
        except RuntimeError as error:
            raise ModelError(f"timm {timm.__version__} has no network {architecture!r}: {error}") from error
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = KERAS_EPS
        self.network.to(memory_format=torch.channels_last)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits of windows."""
        return self.classify(self.frontend(windows))

    def classify(self, pictures: Tensor) -> Tensor:
        """Logits of pictures ``[n_windows, 3, n_bins, n_frames]``."""
        dtype = next(self.network.parameters()).dtype
        logits: Tensor = self.network(pictures.to(dtype, memory_format=torch.channels_last))
        return logits.float()


def start_from_imagenet(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy ImageNet weights; the head stays as it is.

    Raises:
        ModelError: where a weight is missing or has another shape.
    """
    state = {name: tensor.float() for name, tensor in weights.items() if not name.startswith("fc.")}
    try:
        result = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"these are no weights of this network: {error}") from error
    missing = [name for name in result.missing_keys if not name.startswith("fc.")]
    if missing or result.unexpected_keys:
        raise ModelError(f"these are no weights of this network: without {missing[:3]}, with {result.unexpected_keys[:3]}")


def prepare_for_scanning(detector: Detector, device: torch.device, dtype: torch.dtype) -> Detector:
    """Fold every BatchNorm into its convolution and move to the device; the detector given must not be used any more."""
    detector.eval()
    detector.network = streamlined(detector.network, device, dtype)
    return detector.to(device=device)


def streamlined(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The same network, quicker: without BatchNorm, and on a processor with matrix products in place of 1 x 1 convolutions.

    The one given must not be used any more.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.fx' own, not ours to mend
        quick: nn.Module = fuse(network).to(device, dtype).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        _use_products(quick)
        if dtype == torch.bfloat16:
            _use_rectifiers(quick)
    return quick


class _Product(nn.Module):
    """A 1 x 1 convolution as the product of matrices that it is.

    The results are those of the convolution; oneDNN's bfloat16 products of wide layers are up to 7 times as fast as its
    convolutions, which put the weights into another order for each call (``benchmarks/README.md``).
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight[:, :, 0, 0].contiguous(), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, cells: Tensor) -> Tensor:
        """Channels-last cells, which are a matrix of channels already."""
        return linear(cells.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


_WIDE = 256
"""Channels from which on a product is faster."""


def _use_products(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1) or module.groups > 1:
            continue
        if module.stride == (1, 1) and module.in_channels >= _WIDE:
            _put(network, name, _Product(module))


class _Rectifier(nn.Module):
    """ReLU of bfloat16 numbers by their bits: whatever has the sign is below 0 as an integer, too.

    The results are the same; torch's own goes through float32, and takes four times as long.
    """

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self._inplace = inplace

    def forward(self, cells: Tensor) -> Tensor:
        """Cells in any layout."""
        bits = cells.view(torch.int16)
        return (bits.clamp_(min=0) if self._inplace else bits.clamp(min=0)).view(torch.bfloat16)


def _use_rectifiers(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ReLU):
            _put(network, name, _Rectifier(module.inplace))


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
