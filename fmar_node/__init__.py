"""The FMAR node: one register of flexible assets, of who manages them, and of how that came about."""

__version__ = "0.1.0"
