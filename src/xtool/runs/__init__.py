"""A comparison as a run: made image by image, written down as it goes, read back and summed up.

- ``comparison``: the whole job; ``evaluate``: one image after the other, by every method
- ``manifest`` and ``identity``: what a run was made with; ``records``: what it writes down, and ``packed``: in how many
  bits; ``directory``: on disk; ``done``: which answers are there
- ``numbers``: records in columns, and ``sealed``: those of a complete run, as Parquet
- ``gathering``, ``images``, ``summary``: from columns to results; ``run``: a run read back
- ``resampling``, ``differences``: how certain numbers are, and whether methods differ
- ``columns``, ``cells``, ``table``: the comparison for a terminal; ``counts``: how well boxes count instances
"""
