"""The parameters that each call of the API accepts."""
