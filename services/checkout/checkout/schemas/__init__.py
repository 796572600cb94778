"""The requests and responses of the API. Amounts are integers in minor units, currencies are in lower case."""
