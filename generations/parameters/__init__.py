"""The parameters that a template exposes: one definition gives validator, JSON Schema, form and binding."""
