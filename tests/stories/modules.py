# Each plugin is loaded as a module under a new name.
# kind: reference
# match: modules

import sys
import types

from _story import tell


def step(i):
    module = types.ModuleType(f"plugin_{i}")
    exec("def run(x):\n    return [x] * 10\nTABLE = list(range(300, 400))", module.__dict__)
    sys.modules[module.__name__] = module


tell(step)
