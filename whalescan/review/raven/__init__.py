"""Import of Raven tables that analysts reviewed."""
