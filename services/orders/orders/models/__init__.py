"""The tables of the orders service, one module for each aggregate. `orders.chains` imports all of them."""
