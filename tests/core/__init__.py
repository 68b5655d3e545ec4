"""The rules, tested as tables and properties: no network, no clock, no mocks."""
