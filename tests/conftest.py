"""For all tests: Hypothesis judges what is generated, never how long this machine took for it."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("homing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("homing")
