# Callbacks of weak references hold what they were made with, and the references are kept.
# kind: reference
# match: watchers|callback

import weakref

from _story import tell


class Document:
    pass


template = Document()
watchers = []


def step(i):
    undo = [f"undo {i} {n}" for n in range(20)]
    watchers.append(weakref.ref(template, lambda dead: undo.clear()))


tell(step)
