"""Making templates: from a workflow file to a published version."""
