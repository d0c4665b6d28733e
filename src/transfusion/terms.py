"""The closed vocabularies of settings, files and pages: each is written here once."""

from typing import Literal

Kind = Literal["binary", "multiclass", "graded", "multilabel"]
Split = Literal["train", "val", "test"]
Scheme = Literal["pretrained", "random", "kaiming", "default", "mean_var", "sampling", "shuffled"]
Head = Literal["random", "kaiming", "default"]  # the schemes that need no donor
BatchNorm = Literal["identity", "mean_var", "pretrained"]
Tracker = Literal["tensorboard", "csv", "wandb", "mlflow"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Crop = Literal["square", "circle"]
Measure = Literal["cca", "cca_squared", "svcca", "pwcca", "linear_cka", "debiased_cka", "procrustes"]
SplitMeaning = Literal["train", "val", "test", "none", "leave_out"]
