"""What keeps a node for years: checked, copied, restored, rotated, upgraded; and what makes it forget.

Nothing here is on the path of a request. `scrub` and `retention` run beside a node's writer, the others on the folder of a
stopped node (`backup` and `checkup` beside a running one too) and behind commands.
"""
