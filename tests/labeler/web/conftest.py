"""Empty: with it pytest adds this folder and its helper modules to `sys.path`."""
