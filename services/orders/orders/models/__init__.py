"""The tables of the orders service, one module for each subject. `orders.chains` imports all of them."""
