"""Proposals for samples without a label, an order of likeness, and what to label next.

`material` reads features, `classify` learns from what is labelled, `evidence` weighs what samples
share, `clusters` puts look-alikes together, `ask` chooses; `session` stores it all.
"""
