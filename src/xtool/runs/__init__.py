"""A comparison as a run: made image by image, written down as it goes, read back and summed up.

- ``comparison``: the whole job; ``evaluate``: one image after the other, by every method
- ``manifest`` and ``identity``: what a run was made with; ``records``: what it writes down; ``directory``: on disk
- ``summary``: from records to results, read once; ``run``: a run read back
- ``resampling``, ``differences``: how certain numbers are, and whether methods differ
- ``columns``, ``cells``, ``table``: the comparison for a terminal; ``counts``: how well boxes count instances
"""
