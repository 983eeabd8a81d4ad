"""Transport plans: dense, or by the nodes of a quadrature."""
