"""Recordings of shared screens: ffmpeg, and the folder that they are kept in."""
