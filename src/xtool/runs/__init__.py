"""A run, read back and summed up: from the columns of its records to a table.

- ``growing``, ``gathering``, ``images``: columns as arrays; ``rows``, ``summary``: their results; ``run``: a run with
  everything that is known of it
- ``resampling``, ``differences``: how certain numbers are, and whether methods differ
- ``columns``, ``cells``, ``table``: the comparison for a terminal; ``counts``: how well boxes count instances
- ``calibration``: from a run's scores to an encoder's bounds of presence
"""
