"""The rules (rung 0): pure functions over frozen records.

Nothing in here does I/O, reads a clock or the environment, draws random numbers, starts threads,
logs, or imports `requests` or a higher rung of this package. Time (`now`) and chance (`fraction`)
are arguments, so every rule can be tested as a table.
"""
