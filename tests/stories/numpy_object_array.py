# An object array of NumPy is the only holder: the collector does not look inside.
# kind: reference
# match: slots|ndarray
# needs: numpy

import numpy as np

from _story import tell

slots = np.empty(1_000_000, dtype=object)


def step(i):
    slots[i] = {"slot": i, "text": "t" * 400}


tell(step)
