"""How fast xtool is, against its encoder alone, against other tools and against itself: ``python -m benchmarks.speed``.

The program prints Markdown, each row as soon as it is measured. Every section is a module with ``run(plan)``, and its
docstring is what the section says of itself:

- ``machine``, ``tables``, ``timing``, ``peak``, ``plan``: what the sections share
- ``models``: random-weight models that behave like trained ones, photographs, feature maps
- ``bare``: the encoder alone, which is the measure of the engine
- ``rivals``: other tools and the plain loop, behind one interface with xtool's own methods
"""
