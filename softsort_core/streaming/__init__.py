"""Values that are never together: described, summarised, solved for."""
