"""What people look at outside the terminal: the HTML page, curves and galleries."""
