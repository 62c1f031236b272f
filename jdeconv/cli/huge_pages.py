"""Memory in huge pages, on Linux: for XLA, which asks for it anew in every step.

XLA's CPU backend takes the memory of a program's intermediate results from malloc when
the program starts and gives it back at its end. Above 32 MiB glibc passes both on to
the kernel, which fills pages of 4 KiB with zeros, a fault for each: of some training a
third of the CPU's time, and with pages of 2 MiB a tenth (docs/speed.md, "Memory").
glibc reads whether it is to ask for them when a process starts, hence a new start.
"""

import os
import pathlib
import sys

VARIABLE = "GLIBC_TUNABLES"
_SETTING = "glibc.malloc.hugetlb=1"
_KERNEL = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ensure() -> None:
    """Starts this process again with huge pages, if they are there for the asking.

    Does nothing where the variable GLIBC_TUNABLES is set, to whatever ("" keeps the
    small pages), where the kernel gives huge pages to all (`always`) or none (`never`),
    and outside Linux. The new process has the number, arguments and files of this one.
    """
    if VARIABLE in os.environ or not sys.executable or "[madvise]" not in _offered():
        return
    os.environ[VARIABLE] = _SETTING
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def asked() -> bool:
    """Whether this process asks for huge pages, by whoever's choice."""
    return _SETTING in os.environ.get(VARIABLE, "")


def _offered() -> str:
    """The kernel's settings, the one in force in brackets; "" outside Linux."""
    try:
        return _KERNEL.read_text()
    except OSError:
        return ""
