"""What both sides of EMP agree on: states, messages, settings, the store and the client."""
