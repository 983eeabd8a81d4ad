"""Operators on the columns of tables: whole, in groups, in parts."""
