"""`python -m fmar_node.cli` is `fmar`."""

from fmar_node.cli.main import run

run()
