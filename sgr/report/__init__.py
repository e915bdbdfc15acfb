"""Tables, figures and what they read: nothing of training depends on this package."""
