"""The server of a trained network: predictions over HTTP, streams over WebSockets."""
