"""NumPy: temporaries of 2 MB, a few columns kept."""

import numpy as np

columns = []
for n in range(1400):
    square = np.full((500, 500), 1.5)
    result = np.sqrt(square * n + 0.5)
    if n % 140 == 0:
        columns.append(result[:, 3].copy())
assert len(columns) == 10
