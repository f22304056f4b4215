"""What gated is measured by; never part of the package."""
