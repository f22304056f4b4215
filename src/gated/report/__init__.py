"""Pages and pictures: what people look at."""
