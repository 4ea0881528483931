"""A service's day: records of dicts, strings and lists are built and grouped, most of them dropped, some kept."""

kept = []
for day in range(8):
    groups = [[] for _ in range(400)]
    for n in range(50_000):
        order = {
            "number": n,
            "customer": f"customer-{n % 9_973}",
            "amounts": [n * 0.25, n * 0.5, n * 1.5],
            "labels": ["new", f"region-{n % 13}"],
            "stamp": str(1_700_000_000 + n * 37),
        }
        groups[n % 400].append(order)
    kept += groups[day]
assert len(kept) == 1000
