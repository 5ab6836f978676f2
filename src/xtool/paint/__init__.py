"""How a heat map, its boxes and a verdict look wherever they are shown: figures, report, notebooks, web app."""
