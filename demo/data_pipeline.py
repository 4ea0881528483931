"""Normalises vectors and hands them to the store in batches."""

import numpy as np

FLUSH_AT = 64  # meant as vectors; `buffer` holds one list of vectors per request

buffer = []
n_flushed = 0


def normalize_vectors(rows):
    """The rows as unit vectors; they also wait in `buffer` until the next flush."""
    vectors = [np.array(row, dtype=float) for row in rows]
    for vector in vectors:
        vector /= np.linalg.norm(vector) or 1.0
    buffer.append(vectors)
    if len(buffer) >= FLUSH_AT:
        flush()
    return vectors


def flush():
    """Hands the waiting batches to the store (here: counts them)."""
    global buffer, n_flushed
    n_flushed += len(buffer)
