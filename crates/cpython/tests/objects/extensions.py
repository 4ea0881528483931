"""Objects of extension types, for the readers to be held against the interpreter."""
import sys, gc, numpy as np, types, os
KEEP=[]
def keep(*o): KEEP.extend(o); return o[0]
a=keep(np.zeros(1000)); keep(a[10:20], a.reshape(10,100), a.T, np.float64(3), np.int32(5), np.str_("abc"), np.bytes_(b"x"))
o=keep(np.array([object() for _ in range(100)],dtype=object)); keep(o[5:10]); keep(o.reshape(10,10))
s=keep(np.zeros(5,dtype=[("a","i4"),("b","O")])); s["b"][2]=object(); keep(s[2], s.dtype, np.dtype("f8"), np.datetime64("2020-01-01"))
keep(np.zeros((0,)), np.zeros(()), np.zeros((2,3,4,5)), np.arange(10)[::2], np.ma.array([1,2]), np.rec.array([(1,2.)],dtype=[("a",int),("b",float)]))
class Sub(np.ndarray): pass
x=keep(np.zeros(5).view(Sub)); x.attribute=object()
keep(np.frombuffer(b"abcdefgh",dtype="u1"), np.random.default_rng(0), np.nditer(a), np.vectorize(len), np.add, np.broadcast(a,a), iter(a))
keep(np.empty(10,dtype="U20"), np.array(["a","b"]), np.fromiter(range(10),int))
try:
    import greenlet
    def run():
        local=[object()]
        greenlet.getcurrent().parent.switch()
    g=keep(greenlet.greenlet(run)); g.switch(); keep(greenlet.greenlet(run))
except ImportError: pass
try:
    import pandas as pd, lxml.etree as et
    keep(pd.DataFrame({"a":[1,2],"b":["x","y"]}), pd.Series([object()]), et.fromstring("<a><b c='d'/></a>"))
except ImportError: pass
def everything():
    """Objects that the collector tracks, those that were made here, and what all of them refer to."""
    found = {id(x): x for x in gc.get_objects()}
    for x in KEEP:
        found[id(x)] = x
    queue = list(found.values())
    while queue:
        for x in gc.get_referents(queue.pop()):
            if id(x) not in found:
                found[id(x)] = x
                queue.append(x)
    return found


def report():
    gc.collect()
    gc.collect()
    gc.disable()
    found = everything()
    skip = {id(found), id(sys._getframe())}
    lines = []
    skip.add(id(lines))
    for key, x in found.items():
        if key in skip or isinstance(x, types.FrameType):
            continue
        try:
            size = sys.getsizeof(x)
        except Exception:
            size = 0
        line = f"{key} {size}"
        for referent in gc.get_referents(x):
            if id(referent) not in skip:
                line += f" {id(referent)}"
        lines.append(line)
    x = referent = None
    found.clear()
    sys.stdout.write("\n".join(lines))
    print("\nkeep", id(KEEP))
    print("end", flush=True)


report(); sys.stdin.readline()
