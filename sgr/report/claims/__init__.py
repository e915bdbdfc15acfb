"""The paper's claims, each with a verdict that follows from the result files."""
