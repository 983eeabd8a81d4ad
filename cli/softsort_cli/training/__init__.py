"""A classifier that learns by soft ranks; needs the extra `learn`."""
