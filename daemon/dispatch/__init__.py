"""FLOOR 4, dispatch: claims what is due, renders it, hands it to channel plugins, records what became of it.

`loop` claims · `judge` puts the rules to each person's rows · `fair` shares the slots among queues · `line` runs one
provider's senders · `session` is a plugin's line to the store · `outcome` maps answers to states · `gate` may shut all
sending · `journal` keeps the handed-over ids outside the database. Waiting is a row, never a sleep that holds a slot.
"""
