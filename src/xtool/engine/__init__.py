"""What runs a model: encoders, feature maps, masks, prompts, methods, and the account of the work."""
