"""The `fmar` command as an operator and a participant run it: every test starts the real process."""
