"""gunicorn settings of the `--preload` variant: the heap is frozen before the workers are forked."""

import gc

preload_app = True


def when_ready(server):
    """Runs in the master after the application is loaded, before the first fork."""
    gc.collect()
    gc.freeze()
