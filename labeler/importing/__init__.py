"""Taking labelled pictures in: class trees, other tools' files, our exports moved by hand."""
