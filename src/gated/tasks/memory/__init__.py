"""How long a network remembers: benchmark problems with long dependencies, at growing length."""
