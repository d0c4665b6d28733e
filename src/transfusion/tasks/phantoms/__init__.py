"""Pictures made on the spot."""
