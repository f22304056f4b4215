"""What comes in: tables, manifests, recordings, splits, and what was found in them."""
