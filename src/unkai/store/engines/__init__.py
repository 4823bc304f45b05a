"""Where the bytes are. Each module is one engine behind store/api.Engine."""
