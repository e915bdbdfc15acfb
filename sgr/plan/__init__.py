"""The plan: params.yaml, typed and resolved to one entry for every stage of every row."""
