"""A comparison as a run on disk: measured image by image, resumed, read back."""
