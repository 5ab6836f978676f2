"""A seeded, bounded attack on the command line: ``python -m tests.campaign --help``."""
