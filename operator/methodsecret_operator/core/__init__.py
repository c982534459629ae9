"""What the operator decides, without doing any of it: no I/O, no clock, no asyncio, no clients."""
