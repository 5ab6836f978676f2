"""The tables of the VL-Score article, measured again and put next to what was published.

- ``published``: the article's figures, as data
- ``plan``: which encoders, methods, thresholds and protocols each table needs
- ``measure``: runs them, as runs that can be interrupted, resumed and sharded
- ``result``: measured next to published, with the difference and the caveats
"""
