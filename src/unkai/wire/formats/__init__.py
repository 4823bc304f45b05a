"""Values of a shape, to and from bytes. Nothing here knows HTTP or a protocol."""
