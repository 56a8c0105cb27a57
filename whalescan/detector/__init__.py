"""Scores of audio: spectrogram, network, model file. Only this package and `training` import torch."""
