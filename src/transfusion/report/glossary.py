"""Plain names of starts, and what the words of a page mean."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

PLAIN = {
    "pretrained": "the donor's weights",
    "mean_var": "same scale only",
    "random": "from scratch",
    "kaiming": "from scratch, He's rule",
    "default": "from scratch, the framework's rule",
    "sampling": "the donor's values, drawn anew",
    "shuffled": "the donor's values, mixed up",
}

WORDS = {
    "AUC": "How well scores rank: the chance that a positive case scores higher than a negative one. 0.5 is guessing, "
    "1 is perfect. It says nothing about any threshold.",
    "sensitivity": "The share of positive cases that are called positive.",
    "specificity": "The share of negative cases that are called negative.",
    "threshold": "The score from which a case is called positive.",
    "target": "The level that starts are timed to: 80 % of the way from the baseline's first evaluation to its end.",
    "interval": "The values that fit what was seen: of 100 such 95 % intervals, 95 hold the true value.",
    "training": "One run of a network from first to last step; each has a seed, which decides every draw in it.",
    "seed": "The number that decides every random draw of a training. Starts are compared seed by seed.",
    "start": "What a training begins with: pretrained weights, only their scale, or random ones.",
    "mean_var": "Weights drawn at random with the mean and variance of the pretrained ones: their scale without what "
    "they have learned.",
    "speed-up": "How many times fewer steps a start needs to the same AUC.",
    "sooner": "Fewer optimiser steps to the same AUC: the steps of the one divided by the steps of the other.",
    "calibration": "Whether probabilities come true: of cases that get 80 %, 80 in 100 should be positive.",
    "Brier": "The mean squared distance of probability to outcome; 0 is best.",
    "ROC": "Every pair of sensitivity and specificity that a threshold can give.",
    "margin": "The smallest difference that matters; less is called equal.",
}
_TERM = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(map(re.escape, WORDS), key=len, reverse=True))})(?![\w-])")


def plain(start: str) -> str:
    """A start in plain words; empty for one that has none.

    Examples:
        >>> plain("random"), plain("pretrained upto layer2"), plain("nobody")
        ('from scratch', "the donor's weights up to layer2", '')
        >>> plain("mean_var bn=pretrained")
        'same scale only, batch norm pretrained'
    """
    scheme, _, rest = start.partition(" ")
    known = PLAIN.get(scheme, "")
    rest = re.sub(r"(^| )bn=", ", batch norm ", f" {rest}".replace("upto", "up to"))
    return f"{known}{rest}".strip() if known else ""


class Glossary:
    """Marks the first time that each word stands in a page's text, as a button that says what it means."""

    def __init__(self) -> None:
        self.used: dict[str, str] = {}

    def mark(self, text: str | Markup) -> Markup:
        """Escaped text with its new words marked; tags stay as they are."""
        # only between tags: a word in an attribute must stay a word
        pieces = re.split(r"(<[^>]*>)", str(escape(text)))
        return Markup("".join(piece if piece.startswith("<") else _TERM.sub(self._button, piece) for piece in pieces))

    def _button(self, found: re.Match[str]) -> str:
        word = found.group()
        if word in self.used:  # once a page: a button at every AUC would be all that is seen
            return word
        self.used[word] = WORDS[word]
        return str(
            Markup('<button type="button" class="term" popovertarget="word-{}" title="{}">{}</button>').format(
                word, WORDS[word], word
            )
        )
