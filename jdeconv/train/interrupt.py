"""Being asked to stop: SIGTERM and Ctrl-C become a flag that the loop looks at."""

import signal
import threading

import jax


class Interrupt:
    """While entered, remembers the first SIGTERM or SIGINT instead of dying of it.

    A second signal acts as it would have without this. Outside the main thread, where
    Python allows no handlers, signals keep their meaning. Of several processes all
    must stop at the same step, so that `jax.distributed` catches SIGTERM for them.

    Attributes:
      name: of the signal that came, such as "SIGTERM", or None.
    """

    def __init__(self):
        self.name: str | None = None
        self._old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGTERM, signal.SIGINT]
            for number in numbers if jax.process_count() == 1 else []:
                self._old[number] = signal.signal(number, self._remember)
        return self

    def has_come(self, step: int) -> bool:
        """Whether to stop after this step; with several processes, all or none."""
        if jax.process_count() > 1 and self.name is None:
            from jax.experimental import multihost_utils

            if multihost_utils.reached_preemption_sync_point(step):
                self.name = "SIGTERM"
        return self.name is not None

    def __exit__(self, *exc):
        self._restore()

    def _remember(self, number, frame):
        self.name = signal.Signals(number).name
        self._restore()

    def _restore(self):
        while self._old:
            number, handler = self._old.popitem()
            signal.signal(number, handler)
