"""What those who watch a generation hear, and the sockets that they hear it on."""
