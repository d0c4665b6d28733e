"""What several tests of verdicts share: planted studies, and how often chance allows what."""

import re

from planted import Planted
from scipy import stats

SPEEDUPS = {"random": 1.0, "pretrained": 3.0, "mean_var": 2.0}
STUDY = Planted(SPEEDUPS, tops={"pretrained": 0.92})
MOST_WORDS, MOST_NUMBERS = 30, 4  # in a sentence
NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?![\w])")
NOTHING = Planted({"random": 1.0, "pretrained": 1.0}, tops={})


def runs_of(frame, scheme):
    return frame["scheme"] == scheme


def covers(interval, truth):
    return interval.low <= truth <= interval.high


def outcome(verdict, topic, start=None):
    """What a verdict says on a topic, as one word."""
    (statement,) = verdict.about(topic, start)
    return statement.outcome


def band(trials, rate):
    return stats.binom.ppf(1e-3, trials, rate), stats.binom.ppf(1 - 1e-3, trials, rate)


def too_much(text):
    """The sentences of a text that are long or full of numbers."""
    sentences = re.split(r"(?<=[.?!]) (?=[A-Z0-9+-]|\w+ )", text)
    return [one for one in sentences if len(one.split()) > MOST_WORDS or len(NUMBER.findall(one)) > MOST_NUMBERS]
