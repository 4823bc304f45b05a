"""unkai: a serverless cloud that people own. ARCHITECTURE.md is the map of this package."""

__version__ = "0.1.0"
