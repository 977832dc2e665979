"""An empty conftest: with it pytest adds this folder, with the helper modules, to `sys.path`."""
