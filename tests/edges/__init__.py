"""The library at its edges: scripts on a fake clock; raw sockets where only they show it."""
