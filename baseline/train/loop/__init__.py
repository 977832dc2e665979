"""The loop of gradient descent that all methods of training share."""
