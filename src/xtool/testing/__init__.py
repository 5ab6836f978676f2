"""For authors of plugins: encoders whose evidence lies at a known place, and checks built on them."""
