"""FLOOR 8, the command line: what a person types, and how the answer looks.

Decides nothing that another program could not ask for too: commands that write go through the API of the running daemon, or,
without one, through the same API served by this process under the state lock. Heavy imports stand inside the commands, so
that `homing --help` is quick.
"""
