"""The explorer: a page in the browser that shows a network at work, and the server behind it."""
