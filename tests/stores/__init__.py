"""Stores: `FileStore`, and the contract of all."""
