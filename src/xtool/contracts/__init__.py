"""What the core and plugins agree on: protocols, options, specs, hooks, and the registry that finds plugins."""
