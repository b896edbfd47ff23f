"""The whole daemon in simulated worlds: the composition of production under virtual time, crashes, faults and misbehaving relays.

    shop       the configs and campaigns of the simulated shop, as files for the daemon and as plain data for the checker
    events     what is noted of a world: by its relays, by who brought jobs and words, and the final states
    relay      SMTP servers at the level of bytes, with their misbehaviour
    workload   what one seed does: jobs, people, faults, operators
    sim        one world: the daemon's lives, and the deeds of those around it
    checker    judges the events by the invariants; imports nothing of the daemon
    run        `run_seed(seed) -> Verdict`; `python -m tests.simulation` runs many on all cores
"""
