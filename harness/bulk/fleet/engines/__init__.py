"""What starts workers: one file each. An engine is a class with the methods of `engine.Engine`."""
