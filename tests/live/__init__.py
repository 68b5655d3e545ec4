"""Tests over real connections, with the gate before httpbin on loopback."""
