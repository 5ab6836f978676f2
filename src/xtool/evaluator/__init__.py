"""The evaluator that all methods share: the same images, texts, metrics and account of the work for each.

- ``comparison``: the whole job, from a data set and methods to a run; ``identity``: what makes it this run
- ``evaluation``: what is evaluated; ``evaluate``: slice by slice, in this process; ``workers``: in several
- ``slices``: how many images at once; ``decoding``: their pixels; ``explaining``: every method's answers, to the same
  ``question``, together or one at a time (``at_once``); ``zero_shot``: texts and classes
"""
