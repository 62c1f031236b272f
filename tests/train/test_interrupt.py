import signal
import threading

import pytest

from jdeconv.train.interrupt import Interrupt


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_first_signal_is_remembered_the_second_acts(name):
    number = signal.Signals[name]
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert not interrupt.has_come(0)
        signal.raise_signal(number)
        assert interrupt.has_come(0) and interrupt.name == name
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_leaving_puts_the_handlers_back():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_signals_alone():
    names = []

    def run():
        with Interrupt() as interrupt:
            names.append(interrupt.name)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert names == [None]
