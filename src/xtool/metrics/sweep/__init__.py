"""How :func:`xtool.metrics.boxes.box_sweep` finds the components of a map at all thresholds, reading the map once.

1. ``levels``: each pixel gets the number of thresholds that it passes, by exactly that strict comparison.
2. ``slopes``: each row is cut where its levels stop falling and start to rise. Inside such a slope the levels have one
   summit, so that at any threshold its foreground is one interval: it can be summed up by its summit. Two slopes
   that touch are connected at the thresholds below their *pass*, the highest level at which one can step across.
3. ``hills``: a slope whose pass to a higher neighbour is as high as its own summit never stands alone: it is part of
   that neighbour's hill. A smooth map has thousands of slopes and a handful of hills.
4. ``components`` of hill × threshold, by ``scipy.sparse.csgraph``, on this small graph.
"""
