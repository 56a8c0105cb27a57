"""A small network for tests of what is done with a network: one step of training takes milliseconds."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from timm.models import register_model
from torch import Tensor, nn

from whalescan.detector.model_spec import ModelSpec
from whalescan.training import initial_weights

ARCHITECTURE = "tiny_convnet"


class TinyConvNet(nn.Module):
    """Three convolutions and a head ``fc``, as the head of the real network is called."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 8, 5, stride=4, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 32, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32, num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        features = torch.relu(self.bn1(self.conv1(images)))
        features = torch.relu(self.bn2(self.conv2(features)))
        return torch.relu(self.bn3(self.conv3(features)))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.forward_features(images).mean(dim=(2, 3)))
        return logits


@register_model  # type: ignore[untyped-decorator]
def tiny_convnet(pretrained: bool = False, num_classes: int = 1, in_chans: int = 3, **_unused: object) -> TinyConvNet:
    """Build the network, as `timm.create_model` asks for it."""
    assert not pretrained, "there are no weights of it"
    return TinyConvNet(num_classes, in_chans)


def use_tiny_network(patch: pytest.MonkeyPatch) -> None:
    """Let trainings that do not start from a model train the small network."""
    patch.setattr(initial_weights, "ModelSpec", partial(ModelSpec, architecture=ARCHITECTURE))
