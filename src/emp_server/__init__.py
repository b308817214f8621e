"""The HTTP server: thin routes over the store, and no state of its own."""
