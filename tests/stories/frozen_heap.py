# After gc.freeze() the collector lists nothing; the growing list is found all the same.
# kind: reference
# match: audit

import gc

from _story import tell

audit = []
for i in range(500):
    audit.append({"event": i, "who": f"user {i}"})
gc.collect()
gc.freeze()


def step(i):
    audit.append({"event": i, "who": f"user {i}", "text": "y" * 500})


tell(step)
