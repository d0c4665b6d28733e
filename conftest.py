"""For every test and doctest: one thread, and a cache of its own."""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRANSFUSION_CACHE", tempfile.mkdtemp(prefix="transfusion-cache-"))
