"""Who signed a request. Pure functions: secrets come in through an argument."""
