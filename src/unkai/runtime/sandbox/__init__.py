"""Process trees with their own uid, namespaces, filter and limits. `spawner` is the only program here with privileges."""
