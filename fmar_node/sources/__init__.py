"""External sources: who is asked about what a record says, after it has been entered."""
