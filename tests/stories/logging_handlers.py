# Each job adds a handler to the same logger.
# kind: reference
# match: handlers

import io
import logging

from _story import tell

log = logging.getLogger("job")
log.propagate = False


def step(i):
    log.addHandler(logging.StreamHandler(io.StringIO(f"job {i}" * 50)))
    if i % 100 == 0:
        log.info("step %d", i)


tell(step)
