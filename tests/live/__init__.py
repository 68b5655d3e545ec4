"""Tests over real connections, with httpbin behind the demo server on loopback."""
