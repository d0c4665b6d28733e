"""From a spec to finished runs on disk."""
