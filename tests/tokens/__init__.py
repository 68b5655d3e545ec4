"""Tokens: sources, renewals, and what stores share."""
