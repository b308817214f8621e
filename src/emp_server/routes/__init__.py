"""One module per resource: a route parses, calls the store, answers."""
