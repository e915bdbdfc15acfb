"""One thin script a stage of the workflow."""
