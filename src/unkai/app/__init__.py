"""The composition root: the only package that knows all services, engines and processes, and puts them together."""
