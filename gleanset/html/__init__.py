"""Shared parts of HTML pages: style, charts, thumbnails, number formats and templates.

A page is a single self-contained file: it can be mailed, printed and opened offline.
"""
