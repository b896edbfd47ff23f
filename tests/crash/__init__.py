"""Crash tests: the real daemon as a process, a real SMTP server as another, kill -9 between them. `make crash`."""
