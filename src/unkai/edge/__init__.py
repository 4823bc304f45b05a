"""The front door: the HTTP server, routing, and the one function that takes a request to its response."""
