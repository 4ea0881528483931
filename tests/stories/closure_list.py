# A decorator's closure remembers all arguments it was called with.
# kind: reference
# match: seen|area

from _story import tell


def remember(function):
    seen = []

    def wrapper(*args):
        seen.append(args)
        return function(*args)

    return wrapper


@remember
def area(width, height, label):
    return width * height


def step(i):
    for n in range(5):
        area(i + 0.5, n + 0.5, f"label {i} {n}")


tell(step)
