"""For every test and doctest: one thread, and a cache of its own, removed when the tests end."""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
# xdist's workers find their parent's here, and leave removing it to that
if "TRANSFUSION_CACHE" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="transfusion-cache-", ignore_cleanup_errors=True)
    os.environ["TRANSFUSION_CACHE"] = CACHE.name
