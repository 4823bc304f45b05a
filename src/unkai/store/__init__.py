"""Ordered bytes and transactions: `api` states the promises, `engines` keep them, `transaction` is what handlers hold."""
