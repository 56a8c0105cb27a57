"""Scoring with Dask: chunks, workers, dispatch, clusters, GPUs."""
