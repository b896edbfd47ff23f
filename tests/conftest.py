"""For all tests: Hypothesis judges what is generated, never how long this machine took for it."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

settings.register_profile("homing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("rote", settings.get_profile("homing"), phases=(Phase.explicit,))
"""Only the examples that are written down, nothing drawn: `tests.planted` rests on no chance."""
settings.load_profile("homing")
