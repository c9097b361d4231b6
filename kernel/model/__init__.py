"""What things are: values and pure rules. No asyncio, no I/O, no clock."""
