"""What is measured, one file each. Every number names its metric, its protocol and its threshold.

- ``image_map``: one low-resolution map and the image it belongs to
- ``iou``: overlap of boxes
- ``protocols``: from a map and true boxes to localization accuracy: ``vlscore``, ``maxboxacc``, ``maxboxaccv2``,
  ``cam2016``; ``wsol`` holds what the last three share
- ``topk``: Top-1, Top-5 and GT-known localization
- ``pointing``, ``pxap``, ``presence``, ``counting``, ``causal``: the pointing game, pixel-wise average precision,
  whether a text is found at all, how many instances are, and insertion and deletion
"""
