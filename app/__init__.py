"""The web service: HTTP concerns only."""

import os

# NumPy's BLAS library would share a product of 64 rows among threads of its own, which then spin for the next one on
# cores that other workers need. It reads this when NumPy is loaded, and this package is imported first.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
