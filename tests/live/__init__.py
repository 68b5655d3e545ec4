"""Tests over real connections, with the server before httpbin on loopback."""
