"""`jdeconv VERB ...`: finds the verb, and turns users' mistakes into one line.

A verb is a module of `jdeconv.cli` with a function `run(argv) -> exit code`. It is
imported when it is asked for, so that help answers at once.
"""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from jdeconv.cli import huge_pages

VERBS = {
    "train": "train a network, from a config",
    "sweep": "train a grid of runs of one config, and compare them",
    "evaluate": "measure a trained network on all test images",
    "process": "apply a trained network to image files",
    "deblur": "undo a known blur in image files",
    "tune": "measure how a config's convolutions are best computed on this device",
}

_MISTAKES = (ValueError, TypeError, KeyError, AttributeError, ModuleNotFoundError)
# A mistake of the user is noticed by these packages or by the config file itself; an
# error that comes out of any other is a bug, and shown in full.
_NOTICED_BY = ("jdeconv", "ml_collections", "jdeconv_config")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are errors, told in one line by `main`."""

    def error(self, message: str):
        """Raises a ValueError in place of printing the usage and exiting."""
        raise ValueError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
      argv: without the program's name; None: this process is the program, its
        arguments are `sys.argv[1:]`, and it may start itself anew (`cli.huge_pages`).

    Returns:
      The exit code: 0; 1 if training stopped on NaN; 2 for users' mistakes, which are
      told in one line on stderr (set JDECONV_TRACEBACK=1 to see where from).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from jdeconv import __version__

        print(__version__)
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        return _refuse("jdeconv", f"unknown verb {verb!r}: {_known(verb)}")
    if argv is None:
        huge_pages.ensure()
    try:
        return importlib.import_module(f"jdeconv.cli.{verb}").run(rest)
    except SystemExit as stop:  # argparse, after --help or an error
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print(f"jdeconv {verb}: interrupted", file=sys.stderr)
        return 130
    except FloatingPointError as error:
        print(f"jdeconv {verb}: {error}", file=sys.stderr)
        return 1
    except (*_MISTAKES, OSError) as error:
        if os.environ.get("JDECONV_TRACEBACK") or not _is_mistake(error):
            raise
        return _refuse(f"jdeconv {verb}", _message(error))


def _usage() -> str:
    verbs = "\n".join(f"  {verb:<10}{text}" for verb, text in VERBS.items())
    return (
        "usage: jdeconv VERB [arguments]\n\n"
        "Deconvolution networks in JAX: train them and use them.\n\n"
        f"verbs:\n{verbs}\n\n"
        "jdeconv VERB --help tells the arguments of a verb."
    )


def _known(verb: str) -> str:
    import difflib

    near = difflib.get_close_matches(verb, VERBS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}The verbs are {', '.join(VERBS)}"


def _refuse(program: str, message: str) -> int:
    print(f"{program}: {message}", file=sys.stderr)
    return 2


def _message(error: BaseException) -> str:
    # str(KeyError("x")) is "'x'", with quotes.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(text).split())


def _is_mistake(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return True
    last = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        last = frame
    if last is None:
        return False
    return last.f_globals.get("__name__", "").split(".")[0] in _NOTICED_BY
