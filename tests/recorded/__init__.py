"""Tests over traffic recorded from httpbin, replayed from ``cassettes/``."""
