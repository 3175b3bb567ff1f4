"""Between the queue and the ComfyUI servers: claims, submits, listens, reconciles."""
