"""Files that run inside environments. They are copied to /var/runtime and may import the standard library only."""
