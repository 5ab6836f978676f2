"""``xtool new-plugin``: a complete plugin distribution to start from.

The templates are the files of a plugin with ``${placeholders}`` (:class:`string.Template`), in ``templates/common`` and
one folder for each kind.
"""
