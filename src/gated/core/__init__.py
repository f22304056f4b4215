"""Arrays in, arrays out: the equations of the cells, and the door to the native core."""
