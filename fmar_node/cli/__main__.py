"""`python -m fmar_node.cli` is `fmar`."""

import atexit
import gc

from fmar_node.launch import lasting


def run() -> None:
    """The entry point."""
    atexit.register(gc.freeze)
    with lasting():
        from fmar_node.cli.main import app
    app()


if __name__ == "__main__":
    run()
