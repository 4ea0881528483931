# A context variable's list gets a crumb for each request and is never reset.
# kind: reference
# match: crumbs|context

import contextvars

from _story import tell

crumbs = contextvars.ContextVar("crumbs")
crumbs.set([])


def step(i):
    crumbs.get().append({"request": i, "text": "crumb " * 100})


tell(step)
