"""FLOOR 6, the composition root: reads the config, makes every part, gives each what it needs, runs them as services.

`setup` reads and checks all that operators and marketers write; `sending` runs the channels and the claim loop;
`housekeeping` keeps the clocks, the heartbeat and the journal; `main` puts it together. No rule and no SQL lives here.
"""
