"""From a study's frame to what a person reads: tables, figures, the page."""
