"""The tour of `fmar demo`: steps against a running node, each with its real request, its real answer and a check."""
