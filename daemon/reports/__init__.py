"""FLOOR 4, reports: answers from rows and rules: why a message was or was not sent. Writes nothing."""
