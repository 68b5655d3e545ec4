"""SDKs with this library under them: the published packages, on loopback."""
