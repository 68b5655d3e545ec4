"""The rules (rung 0): pure functions over frozen records.

The modules here do no I/O, read no clock and no environment, draw no random numbers, start no
threads, log nothing, and import neither `requests` nor a higher rung of this package. Time (`now`)
and chance (`fraction`) are arguments, so that every rule can be tested as a table.
"""
