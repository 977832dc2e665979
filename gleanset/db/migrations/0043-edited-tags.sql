-- Edited captions of an export, which an import of the older text of the image keeps.
CREATE INDEX change_tags ON change(item) WHERE what='tags';
