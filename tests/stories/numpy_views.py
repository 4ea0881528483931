# Short views of long arrays are kept, and with them the arrays.
# kind: reference
# match: peaks
# needs: numpy

import numpy as np

from _story import tell

peaks = []


def step(i):
    signal = np.arange(5_000, dtype=float) + i
    peaks.append(signal[10:13])


tell(step)
