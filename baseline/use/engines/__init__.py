"""What computes a model's answers: one module for each runtime, loaded when it is used."""
