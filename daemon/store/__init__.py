"""FLOOR 3, the store: all SQL of Homing, one text for SQLite now and PostgreSQL later.

An act is a plain function `(conn, ...) -> result`, one transaction, named after what happens in the business. It decides
nothing by itself: rules come in as pure callables. `writer.Store` runs acts; `schema` has the tables.
"""
