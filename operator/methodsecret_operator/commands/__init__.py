"""The commands beside `run`: each looks at a cluster and at Method once, says what it saw, and ends."""
