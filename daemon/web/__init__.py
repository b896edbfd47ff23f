"""FLOOR 5, web: the API and control socket for operators and tools, the public pages for recipients. Nothing is decided here:
requests are checked, acts of the store and the doors of lower floors are called, answers are written.
"""

from daemon.lean import authorities_later

with authorities_later():
    import aiohttp as _aiohttp  # noqa: F401 - here first: it makes two TLS contexts that a daemon may never need
