"""Whole deliveries of satellite strips: images that GDAL opens, with the metadata that their vendors write."""
