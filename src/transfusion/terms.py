"""The closed vocabularies of settings, files and pages: each is written here once."""

from typing import Literal

Kind = Literal["binary", "multiclass", "graded", "multilabel"]
Split = Literal["train", "val", "test"]
BatchNorm = Literal["identity", "mean_var", "pretrained"]
Layout = Literal["auto", "folder", "csv", "npz", "nih", "eyepacs", "cifar", "embedded"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
