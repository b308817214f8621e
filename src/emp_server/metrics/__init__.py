"""What a monitoring system is told: what the store counts, and what this server does."""
