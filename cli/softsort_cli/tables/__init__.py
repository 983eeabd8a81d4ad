"""Tables of any format: read, chosen from, written."""
