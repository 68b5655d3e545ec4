"""The tests of requests_authretry."""
