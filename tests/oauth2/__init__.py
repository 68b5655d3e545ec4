"""The OAuth 2 sources: against a real authorization server, and against what none would do."""
