"""One module per contestant: how its jobs are submitted and counted, and its no-op handler."""
