"""Where the formats of pictures, videos, sounds and models keep what is neither pixel, frame nor sample."""
