# Part of Gleanset. (gleanset/start.py looks for this line.)
"""Operations on whole datasets: groups, similarity, reports."""
