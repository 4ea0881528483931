# A module keeps every page it rendered, by URL: plain strings and bytes, which no collector lists.
# kind: reference
# match: pages\b

from _story import tell

pages = {}


def step(i):
    pages[f"/articles/{i}"] = b"<html>" + bytes(2000)


tell(step)
