"""FLOOR 5, web: the API and control socket for operators and tools, the public pages for recipients. Nothing is decided here:
requests are checked, acts of the store and the doors of lower floors are called, answers are written.
"""
