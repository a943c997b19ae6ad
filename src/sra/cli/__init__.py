"""The commands: with the app, the only readers of the configuration and the only ones that end the program."""
