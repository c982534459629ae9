"""Tools for working on the project; never part of what is shipped."""
