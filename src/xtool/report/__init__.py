"""What people look at besides the terminal: the HTML page, curves and galleries."""
