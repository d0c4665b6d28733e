"""Faults of a machine, made to happen: one call that fails, files that may not grow."""

import errno
import importlib
import os
import resource


class Failing:
    """The n-th call of a function fails, once."""

    def __init__(self, name, number, error):
        module, self.name = name.split(".")
        self.module = importlib.import_module(module)
        self.real, self.left, self.error = getattr(self.module, self.name), number, error

    def __call__(self, *args, **named):
        # most files that are opened are installed packages', which importlib.metadata looks through
        if args and isinstance(args[0], str | os.PathLike) and "entry_points.txt" in str(args[0]):
            return self.real(*args, **named)
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.real(*args, **named)

    def __enter__(self):
        setattr(self.module, self.name, self)
        return self

    def __exit__(self, *_):
        setattr(self.module, self.name, self.real)


def os_error(code):
    number = getattr(errno, code)
    return OSError(number, os.strerror(number))


class Limited:
    """No file may grow over a number of bytes: libraries in C and Rust meet it too."""

    left = 0

    def __init__(self, num_bytes):
        self.num_bytes = num_bytes

    def __enter__(self):
        self.former = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.num_bytes, self.former[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.former)
