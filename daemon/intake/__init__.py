"""FLOOR 4, intake: the one door through which jobs come in, and the spool folders before it.

Bodies stream to a file, are fsynced, and only then is the job row committed and the receipt given (promise P1). Reads
bodies, never sends; what it accepted is read again, by chunk, by `daemon/audience`.
"""
