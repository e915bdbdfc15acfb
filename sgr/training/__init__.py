"""Training one row with one seed."""
