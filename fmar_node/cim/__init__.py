"""The strict CIM profile of a record, out and in: `table` says what becomes what, `projection` writes, `sent` and `translation` read."""
