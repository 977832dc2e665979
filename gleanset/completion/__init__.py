"""What TAB offers on the command lines: programs are asked by the shell, in a fifth of a second."""
