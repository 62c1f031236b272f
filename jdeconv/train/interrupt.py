"""Being asked to stop: SIGTERM and Ctrl-C become a flag that the loop looks at."""

import signal
import threading


class Interrupt:
    """While entered, remembers the first SIGTERM or SIGINT instead of dying of it.

    A second signal acts as it would have without this. Outside the main thread, where
    Python allows no handlers, signals keep their meaning.

    Attributes:
      name: of the signal that came, such as "SIGTERM", or None.
    """

    def __init__(self):
        self.name: str | None = None
        self._old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *exc):
        self._restore()

    def _remember(self, number, frame):
        self.name = signal.Signals(number).name
        self._restore()

    def _restore(self):
        while self._old:
            number, handler = self._old.popitem()
            signal.signal(number, handler)
