-- Who decided, and for which request, where several people sort in the browser.
ALTER TABLE step ADD COLUMN person TEXT;
ALTER TABLE step ADD COLUMN request TEXT;
CREATE UNIQUE INDEX step_request ON step(request);
