"""How a process of the node begins: `python -m fmar_node.launch MODULE ARGUMENT...` imports the module and calls its `main`.

Rule kept here: what a process imports and makes ready stays until it ends, so the garbage collector does not look at it:
not while it comes into being (dozens of times, a fifth of a start), not later, and not at the end (as much again).
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def lasting() -> Iterator[None]:
    """What comes into being in this block stays until the process ends."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def launch(module: str, *arguments: str) -> None:
    """Runs `main(*arguments)` of a module in this process, which is there for nothing else."""
    atexit.register(gc.freeze)
    with lasting():
        main = import_module(module).main
    main(*arguments)


if __name__ == "__main__":
    launch(*sys.argv[1:])
