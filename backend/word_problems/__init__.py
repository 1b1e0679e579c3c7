"""Sums, differences, products and quotients as equations and as short stories with a number to be told."""
