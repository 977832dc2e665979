"""What our HTML pages share: style, charts, small pictures, words, and the way they are filled.

A page is one file that loads nothing from anywhere: it can be mailed, printed, opened offline.
"""
