"""A bounded load generator: a few keep-alive connections, a fixed rate, an end.

Keeps the totals of what was answered and what was not; it never retries, so that `failed` is the truth.
"""

import http.client
import json
import random
import threading
import time

ROWS, WIDTH = 100, 64


def body(seed):
    """One request: ROWS vectors of WIDTH numbers, the same for the same seed."""
    dice = random.Random(seed)
    return json.dumps({"rows": [[dice.random() for _ in range(WIDTH)] for _ in range(ROWS)]})


class Load:
    """`with Load(port) as load:` posts vectors from `connections` threads until the block ends.

    per_second: requests a second, all connections together. limit_seconds: it ends by itself after that.
    """

    def __init__(self, port, connections=4, per_second=60, limit_seconds=300):
        self.port = port
        self.pause = connections / per_second
        self.deadline = time.monotonic() + limit_seconds
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.answered = self.failed = 0
        self.threads = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(connections)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(10)

    def _run(self, seed):
        payload = body(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.ended.wait(self.pause) and time.monotonic() < self.deadline:
            good = self._post(connection, payload)
            with self.lock:
                self.answered += good
                self.failed += not good
        connection.close()

    @staticmethod
    def _post(connection, payload):
        try:
            connection.request("POST", "/normalize", payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            return response.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()
            return False
