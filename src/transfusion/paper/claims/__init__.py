"""The claims of the paper, by group: A to C fundus, D chest, E CIFAR, F filters, G representations, H transfusion."""
