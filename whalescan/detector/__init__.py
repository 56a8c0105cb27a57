"""Scores of audio: spectrogram, network, localisation, model file. Only this package and `training` import torch."""
