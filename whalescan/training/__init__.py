"""Training: data sets, augmentation, the trainer, and simulated recordings."""
