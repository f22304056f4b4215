"""The explorer: a page in the browser that shows how a network computes, and its server."""
