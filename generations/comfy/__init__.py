"""A client for ComfyUI servers: messages, HTTP, the event socket, graphs, outputs. Knows no Django."""
