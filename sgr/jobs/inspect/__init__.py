"""What a user asks about jobs: how they stand, to cancel them, what is left over."""
