"""What NumPy and zipfile raise for an NPZ file that is damaged or of another kind."""

import lzma
import pickle
import struct
import tokenize
import zipfile
import zlib

READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    MemoryError,
    RuntimeError,  # encrypted, or compressed in an unknown way
    tokenize.TokenError,  # a header that is not Python
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    pickle.UnpicklingError,
    struct.error,
)
