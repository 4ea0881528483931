"""Starts the story's service under gunicorn on a free local port, and stops all of it again."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

VARIANTS = {
    "sync": ["-w", "1"],
    "preload": ["-w", "2", "-c", "gunicorn_preload.py"],
    "threads": ["-w", "1", "--worker-class", "gthread", "--threads", "4"],
    "gevent": ["-w", "1", "--worker-class", "gevent"],
}


class Service:
    """`with Service(python, folder) as service:` runs gunicorn in `folder`; `service.workers()` are the pids to ask about.

    python: an interpreter with the packages of requirements.txt. variant: a key of VARIANTS. log: where gunicorn writes.
    under: words before the command, such as `heapray run -o FILE --`.
    """

    def __init__(self, python, folder, variant="sync", log=subprocess.DEVNULL, under=()):
        self.python, self.folder, self.variant, self.log, self.under = python, Path(folder), variant, log, under

    def __enter__(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        fd = listener.fileno()
        words = [*self.under, self.python, "-B", "-m", "gunicorn", "--no-control-socket", "--bind", f"fd://{fd}", *VARIANTS[self.variant], "app:app"]
        env = dict(os.environ, OPENBLAS_NUM_THREADS="1")
        self.master = subprocess.Popen(
            words, cwd=self.folder, env=env, pass_fds=[fd], stdout=self.log, stderr=self.log, start_new_session=True
        )
        listener.close()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.master.pid, number)
                self.master.wait(seconds)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def workers(self):
        """The pids of gunicorn's workers, oldest first."""
        text = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text()
        return [int(word) for word in text.split()]

    def _wait_until_it_answers(self, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.master.poll() is not None:
                raise RuntimeError(f"gunicorn ended with {self.master.returncode}")
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            finally:
                connection.close()
        raise RuntimeError(f"gunicorn did not answer within {seconds} s")


def main():
    """Serves the variant of the first argument from the folder of the second until its input ends.

    Prints one line, `port master worker …`, once the service answers.
    """
    with Service(sys.executable, sys.argv[2], sys.argv[1]) as service:
        print(service.port, service.master.pid, *service.workers(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
