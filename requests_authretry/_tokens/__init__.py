"""The current token, its renewal, and the store that shares it."""
