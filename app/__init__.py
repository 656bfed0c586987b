"""The web service: HTTP concerns only."""

import os

# NumPy's BLAS library would split a product of 64 rows among its own threads. These then spin on cores that other
# workers need. The library reads this variable when NumPy is loaded, and this package is imported before NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
