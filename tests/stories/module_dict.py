# A module keeps every page it rendered, by URL: plain strings and bytes, which no collector lists.
# kind: reference
# match: pages\b

from _story import tell

pages = {}


def step(i):
    pages[f"/articles/{i}"] = b"<html>" + b"x" * 2000


tell(step)
