"""The library at its edges: scripted answers on a fake clock, raw sockets where only they show it."""
