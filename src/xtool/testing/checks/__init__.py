"""The checks, a file for each kind of thing that a plugin contributes.

A check is a function that takes a subject, and raises :class:`xtool.testing.verdict.CheckFailed` with what it found.
Its name is the check's name, and the first line of its docstring what is promised.
"""
