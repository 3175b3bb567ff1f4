"""Pages for people: thin views that look up, call one service, and render."""
