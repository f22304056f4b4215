"""The layers that a program may have, by name."""

from __future__ import annotations

from gated.live import combining, features, pooling, preparing, reading, recurrence, windows
from gated.live.layer import Layer

LAYERS: dict[str, type[Layer]] = {
    "standardise": preparing.Standardise,
    "missing": preparing.Missing,
    "fill": preparing.Fill,
    "patch": preparing.Patch,
    "unpatch": preparing.Unpatch,
    "average_pool": preparing.AveragePool,
    "encode": reading.Encode,
    "word_scores": reading.WordScores,
    "ngrams": reading.NGrams,
    "embedding": preparing.Embedding,
    "recurrent": recurrence.Recurrent,
    "linear": recurrence.Linear,
    "convolution": pooling.Convolution,
    "convolution_2d": windows.Convolution2d,
    "look_ahead": windows.LookAhead,
    "batch_norm": combining.BatchNorm,
    "layer_norm": combining.LayerNorm,
    "activation": combining.Activation,
    "concatenate": combining.Concatenate,
    "add": combining.Add,
    "scale": combining.Scale,
    "last": pooling.Last,
    "mean": pooling.Mean,
    "max": pooling.Max,
    "attention": pooling.Attention,
    "kernel_features": features.KernelFeatures,
    "summaries": features.Summaries,
    "softmax": combining.Softmax,
    "rescale": preparing.Rescale,
}
