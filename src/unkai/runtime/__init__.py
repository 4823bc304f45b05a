"""Runs a Lambda function's code. Knows neither store nor AWS API: it gets code, environment, payload and deadline.

Start reading at `api` (what a caller sees), then `keeper` (owns environments), `sandbox/spawner` (the only privileged part).
"""
