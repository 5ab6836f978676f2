"""The metrics, one file each. Every number names its metric, its protocol and its threshold.

- ``registry``: every metric; ``metric``, ``case`` and ``results`` say what one is, what it measures and what it sums up
- ``protocols``: from maps and true boxes to localization accuracy: ``anybox``, ``onebox``, ``maxboxacc``,
  ``maxboxaccv2``, ``cam2016``; ``box_finders`` has how each makes its boxes, ``wsol`` what the last three share
- ``image_map``, ``boxes``, ``iou``: one map in its image, its components' boxes, and how boxes overlap
- ``box_iou``, ``topk``, ``pointing``, ``pointing_margin``, ``energy``, ``presence``, ``swapped``, ``specificity``,
  ``pxap``, ``segmentation``, ``causal``, ``perturbation``, ``cost``: the metrics
- ``counting``: how many instances there are
"""
