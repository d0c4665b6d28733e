"""Any torch network: built by name, cut into stages, filled from a donor."""
