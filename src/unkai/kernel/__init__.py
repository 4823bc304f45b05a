"""Plain values that every other module may use. Nothing here does I/O, and nothing here imports the rest of unkai."""
