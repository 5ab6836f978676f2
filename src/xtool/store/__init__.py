"""A run on disk: written as it goes, whole after any kill, and read back.

- ``directory``: one run, its lock and its files; ``writing``: all of a line or nothing of it
- ``manifest``: what the run was made with; ``records``: what it writes down, and ``packed``: in how many bits
- ``numbers``: records in columns; ``sealed``: those of a complete run, as Parquet; ``done``: which answers are there
"""
