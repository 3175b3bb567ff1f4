"""Django's backend for PostgreSQL, but that it finds out without a question whether a connection still works."""
