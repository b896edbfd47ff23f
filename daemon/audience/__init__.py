"""FLOOR 4, audience: whom a message may go to: the rows of accepted jobs become planned deliveries, and those fall due.

Works from the store and from bodies that intake left on disk; never calls another stage. Everything is a chunk behind a
durable cursor, so that it goes on where it was after kill -9 and never holds the writer for long.
"""
