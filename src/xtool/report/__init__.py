"""What people look at: the terminal table, figures and the HTML report."""
