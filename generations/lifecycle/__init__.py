"""What becomes of a generation: submitting, transitions, storing results, cancelling, removing."""
