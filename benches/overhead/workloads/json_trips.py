"""JSON texts written and read: C code that makes many Python objects."""

import json

items = [
    {"id": n, "title": f"item {n}", "prices": [n, n * 0.1, n / 7], "owner": {"name": f"n{n % 97}", "tags": ["x", "y", str(n)]}}
    for n in range(1500)
]
for _ in range(80):
    assert len(json.loads(json.dumps(items))) == len(items)
