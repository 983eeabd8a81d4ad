"""Soft sorting operators over the neighbourhoods of image pixels."""
