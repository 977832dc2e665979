"""How accuracy grows with the number of pictures, and what more of them would bring."""
