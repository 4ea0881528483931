"""Importing pandas: hundreds of modules and tens of shared libraries."""

import pandas

assert pandas.Series([1, 2, 3]).sum() == 6
