"""Policy documents: parsed, compiled, evaluated. Pure: it knows no store, no request bytes, no service."""
