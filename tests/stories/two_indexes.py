# Two dicts hold the same records.
# kind: reference
# match: by_(name|number)

from _story import tell


class Store:
    def __init__(self):
        self.by_name = {}
        self.by_number = {}

    def add(self, number):
        record = {"number": number, "text": "record " * 40}
        self.by_name[f"name {number}"] = record
        self.by_number[number] = record


store = Store()


def step(i):
    store.add(i)


tell(step)
