"""From a request's body to pictures."""
