"""A ComfyUI-compatible server that really runs workflows, without models or GPU.

It speaks the protocol of ComfyUI 0.3.64, down to its quirks, and draws pictures with Pillow. Standalone servers use
it when no ComfyUI is given, tests use it to produce every fault on demand. Knows no Django.
"""

COMFYUI_VERSION = "0.3.64"
