"""How long a network remembers: the benchmark problems of memory, at growing length."""
