"""Where the formats of pictures, videos, sounds and models keep what is no pixel, frame or sample."""
