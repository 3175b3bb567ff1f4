"""What page templates may call."""
